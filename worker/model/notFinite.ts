import type { Program, Step } from "./program.ts";

/** A program that sums the output of each step that uses a parameter, and whose parameter that is. */
export interface Probe {
  readonly program: Program;
  /** Of each output: "model.layers.0.self_attn.q_proj". */
  readonly modules: readonly string[];
}

/** Made when a loss is not finite, to find where that began: a sum is finite only if all that it adds is. */
export function probe({ steps }: Program): Probe {
  const probed: Step[] = [...steps];
  const outputs: number[] = [];
  const modules: string[] = [];
  steps.forEach(({ inputs, shape, type }, at) => {
    const weight = inputs.map((source) => steps[source]!.op).find((op) => op.kind === "parameter");
    if (!weight) return;
    const axes = shape.map((_, axis) => axis);
    const sum: Step = { op: { kind: "sum", axes }, inputs: [at], shape: shape.map(() => 1), type };
    outputs.push(probed.push(sum) - 1);
    modules.push(moduleOf(weight.name));
  });
  return { program: { steps: probed, outputs }, modules };
}

/** The first module whose sum is not finite. */
export function firstOf(modules: readonly string[], sums: readonly Float32Array[]): string | undefined {
  return modules[sums.findIndex(([sum]) => !Number.isFinite(sum))];
}

function moduleOf(parameter: string): string {
  return parameter.replace(/^base_model\.model\./, "").replace(/(\.lora_[AB])?\.(weight|bias)$/, "");
}
