import { describe, expect, it } from "vitest";
import { arrangeRows } from "../../../../shared/dataset/trainingRows.ts";

const lengths = Uint32Array.from([5, 3, 4, 2, 6, 3, 1]);
const parts = [4, 3];
const all = (rows: ReturnType<typeof arrangeRows>) =>
  Array.from({ length: rows.size }, (_, row) => rows.samplesOf(row));
const counts = (rows: ReturnType<typeof arrangeRows>) =>
  [...lengths.keys()].map(
    (sample) =>
      all(rows)
        .flat()
        .filter((one) => one === sample).length,
  );

describe("training rows", () => {
  it("are the samples themselves where nothing is asked for", () => {
    const rows = arrangeRows({ lengths, parts, weights: [1, 1], seed: 1 });
    expect(all(rows)).toEqual([[0], [1], [2], [3], [4], [5], [6]]);
    expect(rows.lengthOf(4)).toBe(6);
  });

  it("have each sample of a part as often as the whole of its weight says, and a draw of the part for the rest", () => {
    const rows = arrangeRows({ lengths, parts, weights: [2.5, 1], seed: 1 });
    expect(rows.size).toBe(4 * 2 + 2 + 3);
    const [first, second] = [counts(rows).slice(0, 4), counts(rows).slice(4)];
    expect(first.toSorted()).toEqual([2, 2, 3, 3]);
    expect(second).toEqual([1, 1, 1]);
    const drawn = (seed: number) => counts(arrangeRows({ lengths, parts, weights: [0.5, 0], seed }));
    expect(drawn(1).reduce((sum, count) => sum + count, 0)).toBe(2);
    expect(drawn(1)).toEqual(drawn(1));
    expect(new Set(Array.from({ length: 20 }, (_, seed) => String(drawn(seed)))).size).toBeGreaterThan(2);
  });

  it("hold several samples each where they are packed, repeated ones too", () => {
    const rows = arrangeRows({ lengths, parts, weights: [1, 2], packTo: 9, seed: 1 });
    expect(counts(rows)).toEqual([1, 1, 1, 1, 2, 2, 2]);
    for (const [row, samples] of all(rows).entries()) {
      expect(rows.lengthOf(row)).toBe(samples.reduce((sum, sample) => sum + lengths[sample]!, 0));
      expect(rows.lengthOf(row)).toBeLessThanOrEqual(9);
    }
  });
});
