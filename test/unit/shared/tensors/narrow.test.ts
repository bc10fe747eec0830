import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { narrowerOf, widenerOf } from "../../../../shared/tensors/dtype.ts";

const narrow = (dtype: string, ...values: number[]) => {
  const bytes = new Uint8Array(2 * values.length);
  narrowerOf(dtype)!(Float32Array.from(values), bytes);
  return bytes;
};
const widen = (dtype: string, bytes: Uint8Array) => {
  const values = new Float32Array(bytes.length / 2);
  widenerOf(dtype)!(bytes, values);
  return values;
};
const all = Uint8Array.from({ length: 2 * 65536 }, (_, index) => (index >> 1) >> (index % 2 === 0 ? 0 : 8));

describe.each(["F16", "BF16"])("narrowerOf(%s)", (dtype) => {
  it("gives every value of the type back as it was, and a NaN as a NaN", () => {
    const values = widen(dtype, all);
    const back = new Uint8Array(all.length);
    narrowerOf(dtype)!(values, back);
    for (let index = 0; index < values.length; index++) {
      const same = back[2 * index] === all[2 * index] && back[2 * index + 1] === all[2 * index + 1];
      if (!same && !Number.isNaN(values[index])) expect.fail(`${values[index]} is not given back.`);
    }
    expect(widen(dtype, back).filter(Number.isNaN)).toHaveLength(values.filter(Number.isNaN).length);
  });

  it("rounds to the nearest, to the even one of two equally near", () => {
    const sorted = [...widen(dtype, all)].filter((value) => value >= 0 && Number.isFinite(value)).sort((a, b) => a - b);
    const values = sorted.filter((value, index) => value !== sorted[index - 1]);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: values.length - 2 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (at, share) => {
          const [low, high] = [values[at]!, values[at + 1]!];
          const between = Math.fround(low + (high - low) * share);
          const [rounded] = widen(dtype, narrow(dtype, between));
          const nearest = between - low < high - between ? low : high;
          if (between - low !== high - between) expect(rounded).toBe(nearest);
          // The bit patterns of neighbours differ by one, so the even one has an even place in the list.
          else expect(rounded).toBe(at % 2 === 0 ? low : high);
        },
      ),
      { numRuns: 2000, seed: 7 },
    );
  });
});

describe("narrowerOf", () => {
  it("rounds beyond float16's range to infinity", () => {
    expect([...widen("F16", narrow("F16", 65519.99, 65520, -1e9, 2 ** -25, 2 ** -24 * 0.75))]).toEqual([
      65504,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      0,
      2 ** -24,
    ]);
  });

  it("knows no integer types", () => {
    expect(narrowerOf("I64")).toBeUndefined();
  });
});
