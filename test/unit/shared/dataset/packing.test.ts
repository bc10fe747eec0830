import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { packSamples } from "../../../../shared/dataset/packing.ts";

const rowsOf = (lengths: readonly number[], capacity: number) => {
  const { members, starts } = packSamples(lengths, capacity);
  return Array.from({ length: starts.length - 1 }, (_, row) => [...members.subarray(starts[row], starts[row + 1])]);
};

describe("packing", () => {
  it("puts each sample into exactly one row, and no row has more tokens than it can take", () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 70 }), { maxLength: 200 });
    fc.assert(
      fc.property(lengths, fc.integer({ min: 1, max: 70 }), (all, capacity) => {
        const rows = rowsOf(all, capacity);
        expect(rows.flat().sort((a, b) => a - b)).toEqual([...all.keys()]);
        for (const row of rows) {
          const tokens = row.reduce((sum, sample) => sum + all[sample]!, 0);
          expect(row.length === 1 || tokens <= capacity).toBe(true);
        }
        // Of two rows that would fit into one, the second would never have been begun.
        const fill = rows.map((row) => row.reduce((sum, sample) => sum + Math.min(all[sample]!, capacity), 0));
        const [least = 0, next = capacity + 1] = fill.sort((a, b) => a - b);
        expect(rows.length < 2 || least + next > capacity).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it("fills each row as well as it can: the longest first, each where it leaves the least", () => {
    expect(rowsOf([3, 6, 5, 1, 8, 4], 10)).toEqual([[4], [1, 5], [2, 0, 3]]);
    expect(rowsOf([], 10)).toEqual([]);
  });

  it("leaves no more than two hundredths of the rows empty for lengths as they are in data sets", () => {
    const lengths = Array.from({ length: 5000 }, (_, index) => 20 + ((index * 7919) % 331));
    const tokens = lengths.reduce((sum, length) => sum + length, 0);
    expect(tokens / (512 * rowsOf(lengths, 512).length)).toBeGreaterThan(0.98);
  });

  it("puts no more samples into a row than an attention mask tells apart", () => {
    const { starts } = packSamples(new Uint32Array(25_000).fill(1), 1_000_000);
    expect([...starts]).toEqual([0, 10_000, 20_000, 25_000]);
  });
});
