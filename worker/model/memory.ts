import type { MemoryEstimate } from "../engine/engine.ts";
import { type Sizes, sizeOf } from "./graph.ts";
import type { Model } from "./model.ts";
import type { Program, Step } from "./program.ts";

const floatBytes = 4;

/** Memory of a worker process before any model. Measured with onnxruntime-node 1.30 on x86-64 Linux. */
const processBytes = 120 * 2 ** 20;

/** What the runtime's allocator holds beyond what is in use, as a share of the activations: measured 0.2 to 0.3. */
const allocatorSlack = 0.3;

/** Predicted peak of one worker for micro-batches of this size in which every token has a label. */
export function estimateMemory(model: Model, batch: number, sequence: number): MemoryEstimate {
  const tokens = batch * sequence;
  const sizes: Sizes = { B: batch, S: sequence, T: tokens, L: Math.max(1, batch * (sequence - 1)) };
  let frozen = 0;
  for (const shape of model.frozen.values()) frozen += shape.reduce((product, dim) => product * dim, floatBytes);
  const activations = peakBytes(model.training, sizes);
  // Parameters and gradients, each in the engine and on their way in or out.
  const trainable = 4 * floatBytes * model.layout.elements;
  const workspace = processBytes + Math.ceil(allocatorSlack * activations);
  return { weights: frozen, activations, trainable, workspace, total: frozen + activations + trainable + workspace };
}

/** Most bytes alive at once when the steps run in order and each value is dropped after its last use. */
function peakBytes(program: Program, sizes: Sizes): number {
  const lastUse = new Map<number, number>();
  program.steps.forEach((step, at) => {
    for (const source of step.inputs) lastUse.set(storage(program, source), at);
  });
  for (const output of program.outputs) lastUse.set(storage(program, output), program.steps.length);
  const bytes = ({ op, shape }: Step) =>
    op.kind === "parameter" || op.kind === "reshape"
      ? 0
      : shape.reduce<number>((product, dim) => product * sizeOf(dim, sizes), floatBytes);
  let live = 0;
  let peak = 0;
  program.steps.forEach((step, at) => {
    live += bytes(step);
    peak = Math.max(peak, live);
    for (const source of new Set(step.inputs.map((index) => storage(program, index)))) {
      if (lastUse.get(source) === at) live -= bytes(program.steps[source]!);
    }
  });
  return peak;
}

/** A reshape shares the memory of what it reshapes. */
function storage({ steps }: Program, index: number): number {
  let at = index;
  while (steps[at]!.op.kind === "reshape") at = steps[at]!.inputs[0]!;
  return at;
}
