import type { WorkerMemory } from "../../shared/plan/modelFacts.ts";
import type { Execution } from "./execution.ts";
import { estimateMemory } from "./memory.ts";
import type { Model } from "./model.ts";

const floatBytes = 4;
/** Parameters and two moments, before the step and after it (worker/train/heldState.ts). */
const heldVectors = 6;
/** A gradient being computed, one being uploaded, and the sum of all that comes back. */
const exchangedVectors = 3;
/**
 * What a worker process has beside its engine once it has taken some steps: gRPC and its buffers, samples, and what V8's heap
 * grows to before it collects. Measured 45 to 110 MiB with Node 20 (test/bench/operations/plan.md).
 */
const processBytes = 90 * 2 ** 20;

/** More samples than this never make a micro-batch. */
const maxBatch = 4096;

/** Predicted peak of one worker process: its engine, and what training keeps beside it. */
export function workerMemory(model: Model, execution: Execution, batch: number, sequence: number): WorkerMemory {
  const { weights, trainable, activations, workspace, total } = estimateMemory(model, execution, batch, sequence);
  const vector = floatBytes * model.layout.elements;
  return {
    batch,
    weights,
    trainable: trainable + exchangedVectors * vector,
    optimizer: heldVectors * vector,
    activations,
    workspace: workspace + processBytes,
    total: total + processBytes + (exchangedVectors + heldVectors) * vector,
  };
}

/** The largest micro-batch whose peak stays within `limitBytes`; undefined when not even one sample does. */
export function largestBatch(
  model: Model,
  execution: Execution,
  sequence: number,
  limitBytes: number,
): WorkerMemory | undefined {
  const fits = (batch: number) => workerMemory(model, execution, batch, sequence).total <= limitBytes;
  if (!fits(1)) return undefined;
  let [low, high] = [1, maxBatch + 1];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return workerMemory(model, execution, low, sequence);
}
