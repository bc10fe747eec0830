import type { MemoryEstimate } from "../engine/engine.ts";
import type { Execution } from "./execution.ts";
import type { Sizes } from "./graph.ts";
import { estimateLayeredMemory } from "./layeredMemory.ts";
import type { Model } from "./model.ts";
import { peakBytes } from "./programMemory.ts";

const floatBytes = 4;

/** Memory of a worker process before any model. Measured with onnxruntime-node 1.30 on x86-64 Linux. */
const processBytes = 120 * 2 ** 20;

/**
 * The same beside a layered engine, whose results of the moment wait for the garbage collector: measured 130 to 170 MiB.
 */
const layeredProcessBytes = 160 * 2 ** 20;

/** What the runtime's allocator holds beyond what is in use, as a share of the activations: measured 0.2 to 0.3. */
const allocatorSlack = 0.3;

/** Predicted peak of one worker for micro-batches of this size in which every token has a label. */
export function estimateMemory(model: Model, execution: Execution, batch: number, sequence: number): MemoryEstimate {
  const tokens = batch * sequence;
  const sizes: Sizes = { B: batch, S: sequence, T: tokens, L: Math.max(1, batch * (sequence - 1)) };
  if (execution.kind === "layered") {
    return estimateLayeredMemory(model, model.cut(), execution.storage, sizes, layeredProcessBytes);
  }
  let frozen = 0;
  for (const shape of model.frozen.values()) frozen += shape.reduce((product, dim) => product * dim, floatBytes);
  const activations = peakBytes(model.training, sizes);
  // Parameters and gradients, each in the engine and on their way in or out.
  const trainable = 4 * floatBytes * model.layout.elements;
  const workspace = processBytes + Math.ceil(allocatorSlack * activations);
  return { weights: frozen, activations, trainable, workspace, total: frozen + activations + trainable + workspace };
}
