import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createPermutation } from "../../../../shared/dataset/permutation.ts";

const list = (size: number, seed: number, stream: number) => {
  const order = createPermutation(size, seed, stream);
  return Array.from({ length: size }, (_, index) => order(index));
};

describe("createPermutation", () => {
  it("visits every index exactly once, for thousands of random sizes, seeds and streams", () => {
    const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 700 }), word, word, (size, seed, stream) => {
        expect(new Set(list(size, seed, stream))).toEqual(new Set(Array.from({ length: size }, (_, index) => index)));
      }),
      { numRuns: 3000 },
    );
  });

  it("visits every index of a large set exactly once", () => {
    const seen = new Uint8Array(223_781);
    for (const index of list(seen.length, 42, 1)) seen[index]!++;
    expect(seen.every((times) => times === 1)).toBe(true);
  });

  it("stays inside sizes near 2^32 and never gives two indices the same place", () => {
    const size = 2 ** 32 - 5;
    const order = createPermutation(size, 7, 3);
    const places = Array.from({ length: 2000 }, (_, index) => order(size - 1 - index));
    expect(places.every((place) => place >= 0 && place < size)).toBe(true);
    expect(new Set(places).size).toBe(places.length);
  });

  it("gives another order for another seed and another stream, and the same for the same", () => {
    expect(list(50, 1, 0)).toEqual(list(50, 1, 0));
    expect(list(50, 1, 0)).not.toEqual(list(50, 2, 0));
    expect(list(50, 1, 0)).not.toEqual(list(50, 1, 1));
  });

  it("never changes its order, so that old runs can be resumed", () => {
    expect(list(12, 42, 0)).toEqual([3, 7, 5, 10, 9, 0, 11, 2, 6, 8, 1, 4]);
    expect(createPermutation(223_781, 42, 1)(0)).toBe(1382);
  });

  it("spreads each index evenly over all places", () => {
    const size = 10;
    const rounds = 20_000;
    const table = Array.from({ length: size }, () => new Array<number>(size).fill(0));
    for (let seed = 0; seed < rounds; seed++) {
      for (const [index, place] of list(size, seed, 0).entries()) table[index]![place]!++;
    }
    const expected = rounds / size;
    const chiSquared = table.flat().reduce((sum, seen) => sum + (seen - expected) ** 2 / expected, 0);
    // 81 degrees of freedom: mean 81, standard deviation 12.7; six of those is far beyond chance.
    expect(chiSquared).toBeLessThan(81 + 6 * 12.7);
  });

  it("refuses indices outside and sizes it cannot hold", () => {
    expect(() => createPermutation(3, 0, 0)(3)).toThrow(RangeError);
    expect(() => createPermutation(3, 0, 0)(-1)).toThrow(RangeError);
    expect(() => createPermutation(2 ** 33, 0, 0)).toThrow(RangeError);
  });
});
