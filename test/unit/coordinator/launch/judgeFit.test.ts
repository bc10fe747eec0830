import { describe, expect, it } from "vitest";
import { fittingBatch, hostBytes, judgeFit } from "../../../../coordinator/launch/judgeFit.ts";
import type { ModelFacts, WorkerMemory } from "../../../../shared/plan/modelFacts.ts";

const gib = 2 ** 30;
const memory = (batch: number, activations: number, weights = 2): WorkerMemory => ({
  batch,
  weights: weights * gib,
  trainable: 0.1 * gib,
  optimizer: 0.2 * gib,
  activations: activations * gib,
  workspace: 0.2 * gib,
  total: (weights + 0.5 + activations) * gib,
});
const facts = (changes: Partial<ModelFacts> = {}): ModelFacts => ({
  frozenElements: 1,
  trainableElements: 1,
  dtypes: ["BF16"],
  fileBytes: 1,
  sequence: 512,
  memory: memory(8, 8),
  largest: memory(3, 3),
  ...changes,
});
function withoutLargest(memory: WorkerMemory): ModelFacts {
  const { largest: _, ...rest } = facts({ memory });
  return rest;
}
const config = {
  perDeviceTrainBatchSize: 8,
  gradientAccumulationSteps: 3,
  gradientCheckpointing: false,
  loadIn4bit: false,
  loadIn8bit: false,
};

describe("a run on a host", () => {
  it("is let through where all its workers fit", () => {
    expect(judgeFit({ facts: facts(), workers: 2, availableBytes: 21 * gib }, config)).toBeUndefined();
  });

  it("is refused with what it needs, the largest term and the micro-batch that fits and keeps the global batch", () => {
    expect(judgeFit({ facts: facts(), workers: 1, availableBytes: 6 * gib }, config)).toBe(
      "The run needs about 10.5 GiB on this host, of which 6.0 GiB can be had; activations are the largest part: 8.0 GiB of " +
        "10.5 GiB per worker with micro-batches of 8 × 512 tokens. The largest micro-batch that fits is 3; " +
        "--per-device-train-batch-size 3 --gradient-accumulation-steps 8 keeps the global batch, and --auto-find-batch-size does so by itself.",
    );
  });

  it("is told what else needs less where not even one sample fits", () => {
    const tight = { facts: withoutLargest(memory(8, 1, 9)), workers: 2, availableBytes: gib };
    expect(judgeFit(tight, config)).toContain(
      "weights are the largest part: 9.0 GiB of 10.5 GiB per worker with micro-batches of 8 × 512 tokens. " +
        "Not even a micro-batch of 1 fits: use --gradient-checkpointing, a smaller --max-length, fewer workers on this host or a host with more memory.",
    );
    expect(judgeFit(tight, { ...config, gradientCheckpointing: true })).toContain("use --load-in-4bit,");
    expect(judgeFit(tight, { ...config, loadIn4bit: true })).toContain("use a smaller --max-length,");
  });

  it("counts float32 weights once, which its workers map from the same file", () => {
    const fit = { facts: facts({ dtypes: ["F32"] }), workers: 3, availableBytes: 0 };
    expect(hostBytes(fit, config)).toBeCloseTo((3 * 10.5 - 2 * 2) * gib, 0);
    expect(hostBytes(fit, { ...config, gradientCheckpointing: true })).toBeCloseTo(3 * 10.5 * gib, 0);
  });
});

describe("a micro-batch that fits", () => {
  it("divides the samples of a slot, which stay as many", () => {
    expect(fittingBatch(config, 5)).toEqual({ perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 6 });
    expect(fittingBatch(config, 1)).toEqual({ perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 24 });
    expect(fittingBatch(config, 100)).toEqual({ perDeviceTrainBatchSize: 8, gradientAccumulationSteps: 3 });
  });
});
