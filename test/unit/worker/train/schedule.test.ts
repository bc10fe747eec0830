import { describe, expect, it } from "vitest";
import { learningRateAt } from "../../../../worker/train/schedule.ts";

const base = { learningRate: 1, warmupRatio: 0, warmupSteps: 0 } as const;
const rates = (config: Parameters<typeof learningRateAt>[0], maxSteps: number) =>
  Array.from({ length: maxSteps }, (_, index) => learningRateAt(config, index + 1, maxSteps));

describe("learningRateAt", () => {
  it("falls linearly to zero", () => {
    expect(rates({ ...base, lrSchedulerType: "linear" }, 4)).toEqual([1, 0.75, 0.5, 0.25]);
  });

  it("rises from zero over the warm-up steps, then falls along a half cosine", () => {
    const actual = rates({ ...base, lrSchedulerType: "cosine", warmupSteps: 2 }, 6);
    const expected = [0, 0.5, 1, 0.8535533905932737, 0.5, 0.14644660940672627];
    for (const [index, rate] of actual.entries()) expect(rate).toBeCloseTo(expected[index]!, 12);
  });

  it("rounds the warm-up ratio up to whole steps", () => {
    expect(rates({ ...base, lrSchedulerType: "constant_with_warmup", warmupRatio: 0.3 }, 4)).toEqual([0, 0.5, 1, 1]);
  });

  it("ignores the warm-up when it is to be constant", () => {
    expect(rates({ ...base, lrSchedulerType: "constant", warmupSteps: 2 }, 3)).toEqual([1, 1, 1]);
  });
});
