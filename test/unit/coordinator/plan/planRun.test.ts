import { describe, expect, it } from "vitest";
import { type PlanBasis, planRun, type RunShape } from "../../../../coordinator/plan/planRun.ts";
import { scaleTable } from "../../../../coordinator/plan/scaleTable.ts";

const shape: RunShape = {
  nodes: 1,
  gpus: 1,
  microBatch: 4,
  accumulation: 4,
  epochs: 2,
  maxSteps: -1,
  saveSteps: 500,
  saveTotalLimit: 0,
  evalSteps: 0,
};
const basis: PlanBasis = { trainSize: 223_781, evaluationSize: 0, networkGbps: 10 };

describe("planRun", () => {
  it("says 27,974 steps for 223,781 samples, micro-batch 4, accumulation 4, one GPU, two epochs", () => {
    const plan = planRun(shape, basis);
    expect(plan).toMatchObject({ steps: 27_974, stepsPerEpoch: 13_987, globalBatch: 16, samples: 447_562, epochs: 2 });
    expect(plan).not.toHaveProperty("time");
    expect(plan).not.toHaveProperty("allReduce");
  });

  it("divides the steps by the workers, whose slots make the global batch", () => {
    expect(planRun({ ...shape, nodes: 2, gpus: 8 }, basis)).toMatchObject({ slots: 16, globalBatch: 256, steps: 1750 });
    expect(planRun({ ...shape, nodes: 2, gpus: 8, slots: 1 }, basis)).toMatchObject({ globalBatch: 16, steps: 27_974 });
  });

  it("lets --max-steps override the epochs, and counts the samples of a part of an epoch", () => {
    expect(planRun({ ...shape, maxSteps: 100 }, basis)).toMatchObject({ steps: 100, samples: 1600 });
    expect(planRun({ ...shape, maxSteps: 13_988 }, basis)).toMatchObject({ samples: 223_781 + 16 });
  });

  it("counts the gradient of each slot into the coordinator and the sum out to each worker", () => {
    const plan = planRun({ ...shape, nodes: 2, gpus: 2, slots: 8 }, { ...basis, trainableElements: 1_000_000 });
    expect(plan.allReduce).toEqual({
      gradientBytes: 4_000_000,
      inBytes: 32_000_000,
      outBytes: 16_000_000,
      seconds: (48_000_000 * 8) / 10e9,
    });
  });

  it("has no network in the all-reduce of a single host", () => {
    expect(planRun({ ...shape, gpus: 8 }, { ...basis, trainableElements: 1000 }).allReduce?.seconds).toBe(0);
  });

  it("counts checkpoints, the last one included, and the space of those kept beside the one being written", () => {
    const elements = { ...basis, trainableElements: 1_000_000 };
    const all = planRun({ ...shape, maxSteps: 1100 }, elements).checkpoints!;
    expect(all).toMatchObject({ count: 3, kept: 3, bytesAtOnce: 3 * all.bytesEach });
    expect(all.bytesEach).toBeGreaterThan(12_000_000);
    expect(all.bytesEach).toBeLessThan(12_100_000);
    expect(planRun({ ...shape, maxSteps: 1100, saveTotalLimit: 1 }, elements).checkpoints).toMatchObject({
      kept: 1,
      bytesAtOnce: 2 * all.bytesEach,
    });
    expect(planRun({ ...shape, maxSteps: 1100, saveSteps: 0 }, elements).checkpoints).toMatchObject({ count: 1 });
  });

  it("adds up time and cost from the seconds of one slot", () => {
    const priced = { ...basis, trainableElements: 1_000_000, slotSeconds: 2, pricePerGpuHour: 3 };
    const plan = planRun({ ...shape, nodes: 2, gpus: 1, slots: 4, maxSteps: 900 }, priced);
    expect(plan.time).toMatchObject({ computeSeconds: 4, stepSeconds: 4 + 0.0192, evaluationSeconds: 0 });
    expect(plan.time?.totalSeconds).toBeCloseTo(900 * 4.0192, 6);
    expect(plan.cost).toBeCloseTo(((900 * 4.0192) / 3600) * 2 * 3, 6);
  });

  it("adds what a step was measured to take beside computing", () => {
    const plan = planRun({ ...shape, maxSteps: 10 }, { ...basis, slotSeconds: 2, overheadSeconds: 0.5 });
    expect(plan.time).toMatchObject({ stepSeconds: 2.5, totalSeconds: 25 });
  });

  it("counts held-out losses at the start, at each interval and at the end, a third of a training pass each", () => {
    const held = { ...basis, evaluationSize: 160, slotSeconds: 1.6 };
    const plan = planRun({ ...shape, maxSteps: 25, evalSteps: 10 }, held);
    expect(plan.evaluations).toBe(4);
    expect(plan.time?.evaluationSeconds).toBeCloseTo((4 * 160 * 0.1) / 3, 6);
    expect(planRun({ ...shape, maxSteps: 25 }, held).evaluations).toBe(2);
  });

  it("multiplies samples by tokens where their number is known", () => {
    expect(planRun(shape, { ...basis, tokensPerSample: 100.5 }).tokens).toBe(44_979_981);
  });
});

describe("scaleTable", () => {
  it("has the usual sizes and the one asked for", () => {
    const rows = scaleTable({ ...shape, nodes: 3, gpus: 8 }, basis);
    expect(rows).toHaveLength(20);
    expect(rows.map(({ plan }) => `${plan.nodes}x${plan.gpus}`)).toContain("3x8");
  });

  it("shows how much of the workers the all-reduce leaves", () => {
    const rows = scaleTable(shape, { ...basis, trainableElements: 10_000_000, slotSeconds: 1 });
    const speedup = (nodes: number, gpus: number) =>
      rows.find(({ plan }) => plan.nodes === nodes && plan.gpus === gpus)?.speedup;
    expect(speedup(1, 1)).toBe(1);
    expect(speedup(1, 8)).toBeCloseTo(8, 2);
    expect(speedup(8, 8)).toBeLessThan(20);
    expect(speedup(8, 8)).toBeGreaterThan(8);
  });
});
