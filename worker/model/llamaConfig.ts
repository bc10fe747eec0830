import { z } from "zod";
import { CoordError } from "../../shared/errors.ts";

const size = z.int().positive();

const ropeScalingSchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: z.number().positive().optional(),
  factor: z.number().positive().optional(),
  low_freq_factor: z.number().positive().optional(),
  high_freq_factor: z.number().positive().optional(),
  original_max_position_embeddings: size.optional(),
});

/** The keys of HuggingFace's LlamaConfig that shape the computation, with its defaults. */
const llamaConfigSchema = z.looseObject({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  rms_norm_eps: z.number().positive().default(1e-6),
  rope_theta: z.number().positive().default(10_000),
  rope_scaling: ropeScalingSchema.nullish(),
  /** What newer files have in place of rope_theta and rope_scaling. */
  rope_parameters: ropeScalingSchema.nullish(),
  hidden_act: z.literal("silu").default("silu"),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
});

/** A checked configuration of a Llama model. */
export interface LlamaConfig {
  readonly vocabularySize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  readonly epsilon: number;
  readonly tied: boolean;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
  readonly inverseFrequencies: Float32Array;
}

/** Reads the content of a config.json; `path` is for messages. Throws CoordError MODEL_INVALID. */
export function parseLlamaConfig(content: unknown, path: string): LlamaConfig {
  const parsed = llamaConfigSchema.safeParse(content);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw invalid(path, `${issue?.path.join(".") || "the file"}: ${issue?.message}`);
  }
  const raw = parsed.data;
  const heads = raw.num_attention_heads;
  const keyValueHeads = raw.num_key_value_heads ?? heads;
  const headDim = raw.head_dim ?? raw.hidden_size / heads;
  if (heads % keyValueHeads !== 0) {
    throw invalid(path, `num_attention_heads ${heads} is no multiple of num_key_value_heads ${keyValueHeads}`);
  }
  if (!Number.isInteger(headDim / 2)) throw invalid(path, `the head size ${headDim} is not an even number`);
  return {
    vocabularySize: raw.vocab_size,
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    layers: raw.num_hidden_layers,
    heads,
    keyValueHeads,
    headDim,
    epsilon: raw.rms_norm_eps,
    tied: raw.tie_word_embeddings,
    attentionBias: raw.attention_bias,
    mlpBias: raw.mlp_bias,
    inverseFrequencies: inverseFrequencies(
      headDim,
      raw.rope_parameters?.rope_theta ?? raw.rope_theta,
      raw.rope_parameters ?? raw.rope_scaling ?? {},
      path,
    ),
  };
}

/** As transformers' modeling_rope_utils.py computes them, in float32. */
function inverseFrequencies(
  headDim: number,
  theta: number,
  scaling: z.infer<typeof ropeScalingSchema>,
  path: string,
): Float32Array {
  const plain = Float32Array.from({ length: headDim / 2 }, (_, pair) =>
    Math.fround(1 / Math.fround(theta ** Math.fround((2 * pair) / headDim))),
  );
  const type = scaling.rope_type ?? scaling.type ?? "default";
  const need = (key: keyof typeof scaling): number => {
    const value = scaling[key];
    if (typeof value !== "number") throw invalid(path, `rope_scaling of type ${type} lacks ${key}`);
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
  throw invalid(path, `rope_scaling of type ${JSON.stringify(type)} is not supported (default, linear and llama3 are)`);
}

function invalid(path: string, problem: string): CoordError {
  return new CoordError("MODEL_INVALID", `${path} does not describe a Llama model that can be trained: ${problem}.`);
}
