import type { MemoryEstimate } from "../engine/engine.ts";
import { type CutModel, segmentInputs } from "./cutModel.ts";
import { type Sizes, sizeOf } from "./graph.ts";
import { headParts, headProgram } from "./headProgram.ts";
import type { Model } from "./model.ts";
import { peakBytes } from "./programMemory.ts";
import { poolElements, residentBytes, type WeightStorage } from "./segmentWeights.ts";

const floatBytes = 4;
const between: ReadonlySet<string> = new Set(Object.values(segmentInputs));

/** Predicted peak of an engine that runs layer by layer; `processBytes` is the process without any model. */
export function estimateLayeredMemory(
  model: Model,
  { head, segments }: CutModel,
  storage: WeightStorage,
  sizes: Sizes,
  processBytes: number,
): MemoryEstimate {
  // What each segment returned, two gradients of that, and looked-up rows.
  const returned = segments.map(({ kind: { forward } }) => sized(forward.steps[forward.outputs[0]!]!.shape, sizes));
  const largest = Math.max(...returned);
  const lookedUp = segments.flatMap(({ kind: { forward }, lookUps }) =>
    forward.steps.flatMap(({ op, shape }) =>
      op.kind === "input" && lookUps.has(op.name) ? [sized(shape, sizes)] : [],
    ),
  );
  const kept = sum(returned) + 2 * largest + sum(lookedUp);
  const running = segments.map(({ kind: { backward, forward }, lookUps }) =>
    peakBytes(backward ?? forward, sizes, new Set([...between, ...lookUps.keys()])),
  );
  let part = 0;
  if (head) {
    const rows = Math.max(...headParts(head).map((end, at, all) => (at === 0 ? 0 : end - all[at - 1]!)));
    part = floatBytes * rows * head.shape[1];
    // The part's program, the gradient it returns, and the weights of the targets.
    running.push(peakBytes(headProgram(head, rows, true), sizes) - part + 2 * floatBytes * sizes.L * head.shape[1]);
  }
  const weights = residentBytes(model, storage) + floatBytes * poolElements(model, { head, segments }) + part;
  const activations = kept + Math.max(...running);
  const trainable = 4 * floatBytes * model.layout.elements;
  const workspace = processBytes;
  return { weights, activations, trainable, workspace, total: weights + activations + trainable + workspace };
}

const sized = (shape: readonly Parameters<typeof sizeOf>[0][], sizes: Sizes) =>
  shape.reduce<number>((product, dim) => product * sizeOf(dim, sizes), floatBytes);
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
