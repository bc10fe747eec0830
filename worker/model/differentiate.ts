import { CoordError } from "../../shared/errors.ts";
import type { Tensor } from "./graph.ts";
import { add } from "./operations.ts";
import { topologicalOrder } from "./topologicalOrder.ts";

/**
 * Reverse-mode differentiation: the gradients of sum(output · seed) with respect to each of `targets`, as tensors of the same
 * small set of operations. Tensors that no target reaches get no gradient nodes.
 */
export function differentiate(output: Tensor, seed: Tensor, targets: readonly Tensor[]): Tensor[] {
  const order = topologicalOrder([output], (tensor) => tensor.gradient?.inputs ?? []);
  const reached = new Set<Tensor>(targets);
  for (const tensor of order) {
    if (tensor.gradient?.inputs.some((source) => reached.has(source))) reached.add(tensor);
  }
  const gradients = new Map<Tensor, Tensor>([[output, seed]]);
  for (const tensor of order.reverse()) {
    const gradient = gradients.get(tensor);
    if (!tensor.gradient || !gradient || !reached.has(tensor)) continue;
    const parts = tensor.gradient.apply(gradient);
    tensor.gradient.inputs.forEach((source, index) => {
      const part = parts[index];
      if (!part || !reached.has(source)) return;
      const sofar = gradients.get(source);
      gradients.set(source, sofar ? add(sofar, part) : part);
    });
  }
  return targets.map((target) => {
    const gradient = gradients.get(target);
    if (!gradient) throw new CoordError("INTERNAL", `The loss does not depend on ${JSON.stringify(target.op)}.`);
    return gradient;
  });
}
