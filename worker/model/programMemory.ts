import { type Sizes, sizeOf } from "./graph.ts";
import type { Program, Step } from "./program.ts";

const floatBytes = 4;

/** Most bytes alive at once when the steps run in order and each value is dropped after its last use; the inputs `elsewhere` are not counted. */
export function peakBytes(program: Program, sizes: Sizes, elsewhere: ReadonlySet<string> = new Set()): number {
  const lastUse = new Map<number, number>();
  program.steps.forEach((step, at) => {
    for (const source of step.inputs) lastUse.set(storage(program, source), at);
  });
  for (const output of program.outputs) lastUse.set(storage(program, output), program.steps.length);
  const bytes = ({ op, shape }: Step) =>
    op.kind === "parameter" || op.kind === "reshape" || (op.kind === "input" && elsewhere.has(op.name))
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
