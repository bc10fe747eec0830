import { type Sizes, sizeOf } from "./graph.ts";
import type { Program } from "./program.ts";

/** Floating-point operations of a program's matrix products, a multiplication and an addition counted as two. */
export function matmulOperations({ steps }: Program, sizes: Sizes): number {
  return steps.reduce((total, { inputs, op, shape }) => {
    if (op.kind !== "matmul") return total;
    const inner = steps[inputs[0]!]!.shape.at(op.transposeA ? -2 : -1)!;
    return total + 2 * shape.reduce<number>((product, dim) => product * sizeOf(dim, sizes), sizeOf(inner, sizes));
  }, 0);
}
