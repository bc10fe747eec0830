import { fromFlat, toFlat } from "../../shared/checkpoint/flat.ts";
import type { TrainingState } from "../../shared/checkpoint/trainingState.ts";
import type { ParamLayout } from "../../shared/tensors/layout.ts";

/**
 * The same state with its tensors in the order of `layout`: files of other programs have orders of their own.
 * Throws ADAPTER_INVALID that names the first tensor that does not fit.
 */
export function arrange(state: TrainingState, layout: ParamLayout): TrainingState {
  const source = "The adapter or checkpoint that this run starts from";
  const rearrange = (vector: Float32Array) => {
    const tensors = fromFlat(state.layout, vector).map((tensor) => [tensor.name, tensor] as const);
    return toFlat(layout, new Map(tensors), source);
  };
  return {
    step: state.step,
    layout,
    parameters: rearrange(state.parameters),
    firstMoment: rearrange(state.firstMoment),
    secondMoment: rearrange(state.secondMoment),
  };
}
