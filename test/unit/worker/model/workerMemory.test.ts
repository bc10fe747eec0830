import { describe, expect, it } from "vitest";
import { buildModel } from "../../../../worker/model/model.ts";
import { largestBatch, workerMemory } from "../../../../worker/model/workerMemory.ts";

const config = {
  architectures: ["LlamaForCausalLM"],
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  intermediate_size: 64,
  vocab_size: 100,
};
const lora = { kind: "lora", r: 4, alpha: 8, dropout: 0, targetModules: ["q_proj", "v_proj"] } as const;
const whole = { kind: "whole" } as const;
const model = buildModel(config, "config.json", lora);

describe("the memory of a worker", () => {
  it("is the sum of its terms, and counts parameters and moments before and after a step", () => {
    const { activations, optimizer, total, trainable, weights, workspace } = workerMemory(model, whole, 2, 16);
    expect(total).toBe(weights + trainable + optimizer + activations + workspace);
    // Two layers with two adapters of 4 × (32 + 32) elements, three float32 vectors, twice.
    expect(optimizer).toBe(2 * 2 * 4 * 64 * 4 * 6);
  });

  it("is filled by the largest micro-batch that fits", () => {
    const limit = workerMemory(model, whole, 7, 128).total + 1;
    expect(largestBatch(model, whole, 128, limit)?.batch).toBe(7);
    expect(largestBatch(model, whole, 128, limit - 2)?.batch).toBe(6);
  });

  it("may be too small for a single sample", () => {
    expect(largestBatch(model, whole, 128, 1000)).toBeUndefined();
  });
});
