import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { holdOut, samplesNeeded } from "../../../../coordinator/dataset/holdOut.ts";

describe("holdOut", () => {
  it("draws distinct samples in ascending order, the fraction asked for, and always leaves some of both", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 2000 }),
        fc.double({ min: 1e-6, max: 0.5, noNaN: true }),
        fc.nat(),
        (samples, fraction, seed) => {
          const held = holdOut(samples, fraction, seed);
          expect(held.length).toBe(Math.min(Math.max(Math.round(samples * fraction), 1), samples - 1));
          expect(held.every((sample, index) => sample < samples && (index === 0 || sample > held[index - 1]!))).toBe(
            true,
          );
        },
      ),
    );
  });

  it("holds out nothing when not asked to, or when there is one sample alone", () => {
    expect(holdOut(100, 0, 1)).toEqual([]);
    expect(holdOut(1, 0.5, 1)).toEqual([]);
    expect(holdOut(0, 0.5, 1)).toEqual([]);
  });

  it("draws as many as asked for where that is a whole number, but leaves one for training", () => {
    expect(holdOut(50, 7, 42)).toHaveLength(7);
    expect(holdOut(50, 1, 42)).toHaveLength(1);
    expect(holdOut(5, 100, 42)).toHaveLength(4);
    expect(holdOut(50, 7, 42, 3)).toHaveLength(3);
    expect(samplesNeeded(10, 7)).toBe(17);
  });

  it("never changes, so that a resumed run holds out the same", () => {
    expect(holdOut(50, 0.1, 42)).toEqual([2, 23, 31, 32, 43]);
    expect(holdOut(50, 0.1, 43)).not.toEqual(holdOut(50, 0.1, 42));
  });
});
