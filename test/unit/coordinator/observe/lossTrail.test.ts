import { describe, expect, it } from "vitest";
import { emptyTrail, extendTrail, sparkline } from "../../../../coordinator/observe/lossTrail.ts";

const trailOf = (values: readonly number[]) => values.reduce(extendTrail, emptyTrail);

describe("extendTrail", () => {
  it("keeps a run of any length within its bound, from its start to now", () => {
    const { points } = trailOf(Array.from({ length: 100_000 }, (_, step) => step));
    expect(points.length).toBeLessThanOrEqual(128);
    expect(points[0]!).toBeLessThan(2000);
    expect(points.at(-1)!).toBeGreaterThan(98_000);
    const gaps = points.slice(1).map((point, index) => point - points[index]!);
    expect(new Set(gaps).size).toBe(1);
  });

  it("leaves out what is no number", () => {
    expect(trailOf([1, Number.NaN, Number.POSITIVE_INFINITY, 2]).points).toEqual([1, 2]);
  });
});

describe("sparkline", () => {
  it("draws from the lowest to the highest block", () => {
    expect(sparkline(trailOf([8, 7, 6, 5, 4, 3, 2, 1]), 20)).toBe("█▇▆▅▄▃▂▁");
  });

  it("draws at most so many columns, the newest value last", () => {
    const line = sparkline(trailOf([...Array.from({ length: 60 }, () => 1), 9]), 10);
    expect(line).toBe("▁▁▁▁▁▁▁▁▁█");
  });

  it("draws nothing of one value and a flat line of equal ones", () => {
    expect(sparkline(trailOf([2]), 10)).toBe("");
    expect(sparkline(trailOf([2, 2, 2]), 10)).toBe("▁▁▁");
  });
});
