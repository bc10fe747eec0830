import { describe, expect, it } from "vitest";
import { type SimulationBasis, simulateSteps } from "../../../../coordinator/plan/simulateSteps.ts";

const basis: SimulationBasis = {
  ...{ nodes: 4, gpus: 2, computeSeconds: 1, jitter: 0, overheadSeconds: 0.1, gradientBytes: 12_500_000 },
  ...{ networkGbps: 1, restartSeconds: 60, steps: 50, seed: 1 },
};

describe("the simulation of steps", () => {
  it("adds compute, the transfers of all gradients and sums, and the overhead where nothing varies", () => {
    // 12.5 MB take 0.1 s; 8 come in one after another, 8 go out.
    const { failures, goodput, stepSeconds } = simulateSteps(basis);
    expect(stepSeconds).toBeCloseTo(1 + 0.8 + 0.8 + 0.1, 6);
    expect(goodput).toBe(1);
    expect(failures).toBe(0);
  });

  it("leaves the network out on one node", () => {
    expect(simulateSteps({ ...basis, nodes: 1 }).stepSeconds).toBeCloseTo(1.1, 6);
  });

  it("hides transfers behind workers that are late, and makes the others wait for the slowest", () => {
    const even = simulateSteps({ ...basis, gradientBytes: 0 });
    const uneven = simulateSteps({ ...basis, gradientBytes: 0, jitter: 0.2 });
    expect(uneven.stepSeconds).toBeGreaterThan(even.stepSeconds + 0.15);
    expect(uneven.waitShare).toBeGreaterThan(even.waitShare);
    // Transfers of 0.1 s each, of which only the last is left when arrivals are far apart.
    const late = simulateSteps({ ...basis, jitter: 3 });
    const free = simulateSteps({ ...basis, jitter: 3, gradientBytes: 0 });
    expect(late.stepSeconds - free.stepSeconds).toBeLessThan(1.6);
  });

  it("loses the step in work and the time of the restart with each failure", () => {
    const { failures, goodput, totalSeconds } = simulateSteps({ ...basis, nodeMtbfSeconds: 400, steps: 500 });
    expect(failures).toBeGreaterThan(3);
    expect(totalSeconds).toBeGreaterThan(500 * 2.7 + 60 * failures);
    expect(goodput).toBeCloseTo((500 * 2.7) / totalSeconds, 6);
  });

  it("gives the same figures for the same seed, also for 1,024 nodes of 8 workers", () => {
    const large = { ...basis, nodes: 1024, gpus: 8, jitter: 0.05, gradientBytes: 1000, steps: 10 };
    expect(simulateSteps(large)).toEqual(simulateSteps(large));
  });
});
