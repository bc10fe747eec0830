import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lengthFigures } from "../../../../../coordinator/dataset/inspect/lengthFigures.ts";

describe("lengthFigures", () => {
  it("gives mean, quantiles and the longest", () => {
    const figures = lengthFigures(
      [...Array(100).keys()].map((index) => index + 1),
      512,
    );
    expect(figures).toMatchObject({ mean: 50.5, median: 50, p90: 90, p99: 99, longest: 100 });
  });

  it("ends a bar at the maximum length", () => {
    const { histogram } = lengthFigures([1, 512, 513, 1024, 1025], 512);
    expect(histogram.find(({ to }) => to === 512)).toMatchObject({ from: 449, samples: 1 });
    expect(histogram.slice(-2)).toEqual([
      { from: 513, to: 1024, samples: 2 },
      { from: 1025, to: 2048, samples: 1 },
    ]);
  });

  it("has nothing to show of nothing", () => {
    expect(lengthFigures([], 512)).toEqual({ mean: 0, median: 0, p90: 0, p99: 0, longest: 0, histogram: [] });
  });

  it("counts every sample in exactly one of adjoining bars", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 9999 }), { minLength: 1 }),
        fc.integer({ min: 1, max: 4096 }),
        (lengths, max) => {
          const { histogram } = lengthFigures(lengths, max);
          expect(histogram.reduce((sum, { samples }) => sum + samples, 0)).toBe(lengths.length);
          for (const { from, to, samples } of histogram) {
            expect(samples).toBe(lengths.filter((length) => length >= from && length <= to).length);
          }
          for (const [index, { from }] of histogram.entries()) {
            expect(from).toBe(index === 0 ? 1 : histogram[index - 1]!.to + 1);
          }
        },
      ),
    );
  });
});
