import type { ParamLayout } from "../../shared/tensors/layout.ts";

/** Name of the first tensor in which `gradient` (flat, in the layout's order) is NaN or infinite, if any. */
export function firstNotFinite(gradient: Float32Array, layout: ParamLayout): string | undefined {
  // A plain loop: findIndex takes ten times as long, and this runs once per slot and step.
  for (let index = 0; index < gradient.length; index++) {
    if (Number.isFinite(gradient[index])) continue;
    return layout.tensors.findLast(({ offset }) => offset <= index)?.name;
  }
  return undefined;
}
