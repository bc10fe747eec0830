import { describe, expect, it } from "vitest";
import { randomKey, randomNormal, randomUint32, randomUnit } from "../../../shared/rng.ts";

const count = 20_000;
const values = (value: (counter: number) => number) => Array.from({ length: count }, (_, counter) => value(counter));
const mean = (list: readonly number[]) => list.reduce((sum, value) => sum + value, 0) / list.length;

describe("random numbers", () => {
  it("are the same for the same key and counter, in any order, on any machine", () => {
    const key = randomKey("name", 42);
    expect([randomUint32(key, 2), randomUint32(key, 0)]).toEqual([
      randomUint32(randomKey("name", 42), 2),
      randomUint32(key, 0),
    ]);
    // Golden: another value means other initial weights for every seed, so runs would no longer resume as they began.
    expect([0, 1, 2].map((counter) => randomUint32(key, counter))).toEqual([3161069517, 2547668524, 3392984648]);
  });

  it("differ between keys that share parts", () => {
    const keys = [randomKey("ab"), randomKey("a", "b"), randomKey("a"), randomKey(1), randomKey("1"), randomKey(1, 0)];
    expect(new Set(keys.map((key) => randomUint32(key, 0))).size).toBe(keys.length);
    expect(new Set(keys.map(({ low, high }) => `${low} ${high}`)).size).toBe(keys.length);
  });

  it("are uniform in [0, 1) and not correlated from one counter or key to the next", () => {
    const draws = values((counter) => randomUnit(randomKey(1), counter));
    expect(Math.min(...draws)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...draws)).toBeLessThan(1);
    expect(mean(draws)).toBeCloseTo(0.5, 2);
    expect(mean(draws.map((draw) => (draw - 0.5) ** 2))).toBeCloseTo(1 / 12, 2);
    const next = draws.slice(1).map((draw, index) => (draw - 0.5) * (draws[index]! - 0.5));
    expect(Math.abs(mean(next))).toBeLessThan(0.002);
    const neighbours = values(
      (counter) => (randomUnit(randomKey(counter), 0) - 0.5) * (randomUnit(randomKey(counter + 1), 0) - 0.5),
    );
    expect(Math.abs(mean(neighbours))).toBeLessThan(0.002);
  });

  it("have mean 0 and variance 1 when normal", () => {
    const draws = values((counter) => randomNormal(randomKey("normal"), counter));
    expect(mean(draws)).toBeCloseTo(0, 1);
    expect(mean(draws.map((draw) => draw ** 2))).toBeCloseTo(1, 1);
    expect(draws.every(Number.isFinite)).toBe(true);
  });
});
