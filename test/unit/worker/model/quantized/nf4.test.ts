import { describe, expect, it } from "vitest";
import { randomKey, randomNormal } from "../../../../../shared/rng.ts";
import { nf4Block, nf4Bytes, nf4Levels, quantizeNf4 } from "../../../../../worker/model/quantized/nf4.ts";

const key = randomKey("nf4");
const normal = (length: number, scale = 0.02) =>
  Float32Array.from({ length }, (_, at) => scale * randomNormal(key, at));

/** What the paper says, without a thought for speed: the nearest level of value / largest magnitude of the block. */
function reference(values: Float32Array): Float32Array {
  const result = new Float32Array(values.length);
  for (let start = 0; start < values.length; start += nf4Block) {
    const block = [...values.subarray(start, start + nf4Block)];
    const largest = Math.max(...block.map(Math.abs));
    block.forEach((value, at) => {
      const share = largest === 0 ? 0 : value * (1 / largest);
      const nearest = [...nf4Levels].reduce((a, b) => (Math.abs(b - share) < Math.abs(a - share) ? b : a));
      result[start + at] = nearest * largest;
    });
  }
  return result;
}

function widened(values: Float32Array): Float32Array {
  const result = new Float32Array(values.length);
  quantizeNf4(values).widen(result);
  return result;
}

describe("NF4", () => {
  it("has the levels that its paper derives from quantiles of the normal distribution", () => {
    // create_normal_map of bitsandbytes: 8 quantiles above zero, 7 below, from the offset 0.9677083.
    const offset = 0.9677083;
    const between = (count: number) =>
      Array.from({ length: count - 1 }, (_, at) => offset + (at * (0.5 - offset)) / (count - 1));
    const levels = [...between(9).map(quantile), 0, ...between(8).map((p) => -quantile(p))].sort((a, b) => a - b);
    const largest = Math.max(...levels);
    levels.forEach((level, at) => {
      expect(nf4Levels[at]).toBeCloseTo(level / largest, 5);
    });
  });

  it("takes the nearest level of every value, whatever the length and the scale", () => {
    for (const length of [1, 2, 63, 64, 65, 128, 1000]) {
      for (const scale of [1e-6, 0.02, 300]) {
        const values = normal(length, scale);
        expect(widened(values)).toEqual(reference(values));
      }
    }
    const even = Float32Array.from({ length: 4096 }, (_, at) => at / 2048 - 1);
    expect(widened(even)).toEqual(reference(even));
  });

  it("keeps zeros, the largest magnitude of each block and its own levels exactly", () => {
    expect(widened(new Float32Array(130))).toEqual(new Float32Array(130));
    const levels = Float32Array.from({ length: 64 }, (_, at) => nf4Levels[at % 16]! * 0.5);
    expect(widened(levels)).toEqual(levels);
  });

  it("takes half a byte for each value and four for each block", () => {
    expect(quantizeNf4(normal(1000)).bytes).toBe(500 + 4 * 16);
    expect(nf4Bytes(1000)).toBe(564);
  });
});

/** Of the standard normal distribution, by bisection on its distribution function. */
function quantile(probability: number): number {
  let [low, high] = [-10, 10];
  for (let round = 0; round < 100; round++) {
    const middle = (low + high) / 2;
    if (distribution(middle) < probability) low = middle;
    else high = middle;
  }
  return low;
}

/** Simpson's rule from zero. */
function distribution(x: number): number {
  const steps = 2000;
  const density = (at: number) => Math.exp((-at * at) / 2) / Math.sqrt(2 * Math.PI);
  let sum = density(0) + density(x);
  for (let step = 1; step < steps; step++) sum += (step % 2 === 1 ? 4 : 2) * density((x * step) / steps);
  return 0.5 + (sum * x) / steps / 3;
}
