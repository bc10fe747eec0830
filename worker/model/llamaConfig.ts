import { z } from "zod";
import { layerCount, parseFamilyConfig, size, unsupported } from "./familyConfig.ts";
import { inverseFrequencies, rotarySchema } from "./rotary.ts";

/** The families that are Llama with small differences. */
export type LlamaFamily = "Llama" | "Mistral" | "Qwen2" | "Qwen3";

/** The keys of HuggingFace's configurations of these families that shape the computation, with their defaults. */
const schema = z.looseObject({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: layerCount,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  rms_norm_eps: z.number().positive().default(1e-6),
  rope_theta: z.number().positive().default(10_000),
  rope_scaling: rotarySchema.nullish(),
  /** What newer files have in place of rope_theta and rope_scaling. */
  rope_parameters: rotarySchema.nullish(),
  hidden_act: z.literal("silu").default("silu"),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  sliding_window: size.nullish(),
  use_sliding_window: z.boolean().default(false),
  max_window_layers: z.int().nonnegative().default(28),
  layer_types: z.array(z.enum(["full_attention", "sliding_attention"])).nullish(),
});
type RawConfig = z.infer<typeof schema>;

/** A checked configuration. */
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
  readonly queryKeyValueBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  /** RMSNorm over each head of queries and keys. */
  readonly headNorms: boolean;
  /** How many tokens back attention sees, itself included, in the layers that `slides` names. */
  readonly slidingWindow: number | undefined;
  slides(layer: number): boolean;
  readonly inverseFrequencies: Float32Array;
}

/** What transformers takes where config.json says nothing. */
const missing = {
  Llama: {},
  Mistral: { keyValueHeads: 8, slidingWindow: 4096 },
  Qwen2: { keyValueHeads: 32 },
  Qwen3: { keyValueHeads: 32, headDim: 128 },
} as const satisfies Record<LlamaFamily, { keyValueHeads?: number; headDim?: number; slidingWindow?: number }>;

/** Reads the content of a config.json; `path` is for messages. Throws CoordError MODEL_INVALID. */
export function parseLlamaConfig(content: unknown, path: string, family: LlamaFamily): LlamaConfig {
  const raw = parseFamilyConfig(schema, content, { path, family });
  const refuse = (problem: string) => unsupported(path, family, problem);
  const defaults: { keyValueHeads?: number; headDim?: number } = missing[family];
  const heads = raw.num_attention_heads;
  // null stands for as many as query heads; a missing key for the family's default.
  const keyValueHeads =
    (raw.num_key_value_heads === undefined ? defaults.keyValueHeads : raw.num_key_value_heads) ?? heads;
  const headDim = raw.head_dim ?? defaults.headDim ?? raw.hidden_size / heads;
  if (heads % keyValueHeads !== 0) {
    throw refuse(`num_attention_heads ${heads} is no multiple of num_key_value_heads ${keyValueHeads}`);
  }
  if (!Number.isInteger(headDim / 2)) throw refuse(`the head size ${headDim} is not an even number`);
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
    ...biases(raw, family),
    headNorms: family === "Qwen3",
    ...window(raw, family),
    inverseFrequencies: inverseFrequencies(
      headDim,
      raw.rope_parameters?.rope_theta ?? raw.rope_theta,
      raw.rope_parameters ?? raw.rope_scaling ?? {},
      refuse,
    ),
  };
}

function biases(raw: RawConfig, family: LlamaFamily) {
  if (family === "Mistral") return { queryKeyValueBias: false, outputBias: false, mlpBias: false };
  if (family === "Qwen2") return { queryKeyValueBias: true, outputBias: false, mlpBias: false };
  const mlpBias = family === "Llama" && raw.mlp_bias;
  return { queryKeyValueBias: raw.attention_bias, outputBias: raw.attention_bias, mlpBias };
}

function window(raw: RawConfig, family: LlamaFamily): Pick<LlamaConfig, "slidingWindow" | "slides"> {
  if (family === "Mistral") {
    const slidingWindow = raw.sliding_window === undefined ? missing.Mistral.slidingWindow : raw.sliding_window;
    return { slidingWindow: slidingWindow ?? undefined, slides: () => slidingWindow !== null };
  }
  if (family === "Llama" || !raw.use_sliding_window) return { slidingWindow: undefined, slides: () => false };
  const slidingWindow = raw.sliding_window === undefined ? 4096 : (raw.sliding_window ?? undefined);
  const types = raw.layer_types;
  return {
    slidingWindow,
    slides: (layer) =>
      slidingWindow !== undefined && (types ? types[layer] === "sliding_attention" : layer >= raw.max_window_layers),
  };
}
