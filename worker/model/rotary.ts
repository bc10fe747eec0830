import { z } from "zod";
import { size } from "./familyConfig.ts";

/** rope_scaling of older files and rope_parameters of newer ones, which have the base in them too. */
export const rotarySchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: z.number().positive().optional(),
  partial_rotary_factor: z.number().positive().max(1).optional(),
  factor: z.number().positive().optional(),
  low_freq_factor: z.number().positive().optional(),
  high_freq_factor: z.number().positive().optional(),
  original_max_position_embeddings: size.optional(),
});
export type RotaryScaling = z.infer<typeof rotarySchema>;

/**
 * Angle per position of each of the `dim` / 2 pairs, as transformers' modeling_rope_utils.py computes them, in float32.
 * `refuse` makes the error for scaling that is not supported.
 */
export function inverseFrequencies(
  dim: number,
  theta: number,
  scaling: RotaryScaling,
  refuse: (problem: string) => Error,
): Float32Array {
  if (!Number.isInteger(dim / 2)) throw refuse(`${dim} rotated elements of a head are not an even number`);
  const plain = Float32Array.from({ length: dim / 2 }, (_, pair) =>
    Math.fround(1 / Math.fround(theta ** Math.fround((2 * pair) / dim))),
  );
  const type = scaling.rope_type ?? scaling.type ?? "default";
  const need = (key: keyof RotaryScaling): number => {
    const value = scaling[key];
    if (typeof value !== "number") throw refuse(`rope_scaling of type ${type} lacks ${key}`);
    return value;
  };
  if (type === "default") return plain;
  if (type === "linear") {
    const factor = need("factor");
    return plain.map((frequency) => frequency / factor);
  }
  if (type === "llama3") {
    const factor = need("factor");
    const low = need("low_freq_factor");
    const high = need("high_freq_factor");
    const context = need("original_max_position_embeddings");
    return plain.map((frequency) => {
      const turns = (context * frequency) / (2 * Math.PI);
      if (turns > high) return frequency;
      if (turns < low) return frequency / factor;
      const smooth = (turns - low) / (high - low);
      return ((1 - smooth) * frequency) / factor + smooth * frequency;
    });
  }
  throw refuse(`rope_scaling of type ${JSON.stringify(type)} is not supported (default, linear and llama3 are)`);
}
