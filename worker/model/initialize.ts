import { randomKey, randomNormal, randomUnit } from "../../shared/rng.ts";
import { elementCount, type ParamLayout, type TensorSlice } from "../../shared/tensors/layout.ts";

/**
 * Initial values of trainable tensors, each a pure function of the seed and the tensor's name. Adapters start as in
 * PEFT: A Kaiming-uniform with a = √5 (bound √(6 / ((1 + 5) · fan-in))), B zero. Base weights trained from nothing
 * start as in transformers: matrices normal with standard deviation 0.02, norms one, biases zero.
 * `gaussian` starts A normal with standard deviation 1 / rank.
 */
export function initialParameters(layout: ParamLayout, seed: number, kind: "true" | "gaussian" = "true"): Float32Array {
  const flat = new Float32Array(layout.elements);
  for (const slice of layout.tensors) {
    const value = initializer(slice, seed, kind);
    const end = slice.offset + elementCount(slice.shape);
    for (let i = slice.offset; i < end; i++) flat[i] = value(i - slice.offset);
  }
  return flat;
}

function initializer({ name, shape }: TensorSlice, seed: number, kind: "true" | "gaussian"): (index: number) => number {
  const key = randomKey("initial parameters", seed, name);
  if (name.endsWith(".lora_B.weight") || name.endsWith(".bias")) return () => 0;
  if (name.endsWith(".lora_A.weight") && kind === "gaussian") return (index) => randomNormal(key, index) / shape[0]!;
  if (name.endsWith(".lora_A.weight")) {
    const bound = 1 / Math.sqrt(shape[1]!);
    return (index) => bound * (2 * randomUnit(key, index) - 1);
  }
  return shape.length === 1 ? () => 1 : (index) => 0.02 * randomNormal(key, index);
}
