import type { DataType, Operation, Shape, Tensor } from "./graph.ts";
import { topologicalOrder } from "./topologicalOrder.ts";

/** One step of a program; `inputs` are indices of earlier steps. */
export interface Step {
  readonly op: Operation;
  readonly inputs: readonly number[];
  readonly shape: Shape;
  readonly type: DataType;
}

/** A graph as a list of steps, what engines execute. */
export interface Program {
  readonly steps: readonly Step[];
  /** Index of the step of each output. */
  readonly outputs: readonly number[];
}

/** Lists what `outputs` need, in order; equal operations on equal inputs become one step. */
export function toProgram(outputs: readonly Tensor[]): Program {
  const steps: Step[] = [];
  const indexOf = new Map<Tensor, number>();
  const known = new Map<string, number>();
  for (const tensor of topologicalOrder(outputs, ({ inputs }) => inputs)) {
    const inputs = tensor.inputs.map((source) => indexOf.get(source)!);
    const key = JSON.stringify([tensor.op, inputs, tensor.shape]);
    let index = known.get(key);
    if (index === undefined) {
      index = steps.push({ op: tensor.op, inputs, shape: tensor.shape, type: tensor.type }) - 1;
      known.set(key, index);
    }
    indexOf.set(tensor, index);
  }
  return { steps, outputs: outputs.map((output) => indexOf.get(output)!) };
}
