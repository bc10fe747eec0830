/** A tiny model as transformers' AutoConfig takes it, and an adapter as PEFT's LoraConfig takes it. */
export interface ModelCase {
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>> & { readonly model_type: string };
  readonly lora: {
    readonly r: number;
    readonly lora_alpha: number;
    readonly target_modules: string | readonly string[];
    readonly use_rslora?: boolean;
    readonly rank_pattern?: Readonly<Record<string, number>>;
    readonly alpha_pattern?: Readonly<Record<string, number>>;
    readonly use_dora?: boolean;
    readonly bias?: "none" | "lora_only";
    readonly modules_to_save?: readonly string[];
  };
  /** In which the model is saved; float32 unless said. */
  readonly dtype?: "bfloat16" | "float16";
}

const lora = { r: 3, lora_alpha: 6, target_modules: "all-linear" } as const;
const attentionOnly = { ...lora, target_modules: ["q_proj", "v_proj"] } as const;

const llamaSizes = {
  vocab_size: 37,
  hidden_size: 24,
  intermediate_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
};

const gpt2Sizes = { vocab_size: 37, n_positions: 16, n_embd: 24, n_layer: 2, n_head: 4 };

const optSizes = {
  vocab_size: 37,
  hidden_size: 24,
  ffn_dim: 40,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  max_position_embeddings: 16,
  word_embed_proj_dim: 24,
};

const neoxSizes = {
  vocab_size: 37,
  hidden_size: 32,
  intermediate_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 4,
};

const llama3Scaling = {
  rope_type: "llama3",
  rope_theta: 50,
  factor: 4,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 16,
};

export const modelCases: readonly ModelCase[] = [
  { name: "llama", config: { ...llamaSizes, model_type: "llama" }, lora },
  {
    name: "llama-tied",
    config: { ...llamaSizes, model_type: "llama", tie_word_embeddings: true, num_key_value_heads: 4 },
    lora: attentionOnly,
  },
  {
    name: "llama-scaled-rope-and-biases",
    config: {
      ...llamaSizes,
      model_type: "llama",
      head_dim: 8,
      attention_bias: true,
      mlp_bias: true,
      rope_parameters: llama3Scaling,
    },
    lora,
  },
  { name: "llama-bfloat16", config: { ...llamaSizes, model_type: "llama" }, lora: attentionOnly, dtype: "bfloat16" },
  { name: "mistral-float16", config: { ...llamaSizes, model_type: "mistral" }, lora: attentionOnly, dtype: "float16" },
  { name: "qwen2-bfloat16", config: { ...llamaSizes, model_type: "qwen2" }, lora: attentionOnly, dtype: "bfloat16" },
  {
    name: "qwen3-bfloat16",
    config: { ...llamaSizes, model_type: "qwen3", head_dim: 8 },
    lora: attentionOnly,
    dtype: "bfloat16",
  },
  { name: "gpt2-float16", config: { ...gpt2Sizes, model_type: "gpt2" }, lora, dtype: "float16" },
  {
    name: "opt-350m-like-float16",
    config: { ...optSizes, model_type: "opt", do_layer_norm_before: false, word_embed_proj_dim: 12 },
    lora,
    dtype: "float16",
  },
  { name: "opt-bfloat16", config: { ...optSizes, model_type: "opt" }, lora, dtype: "bfloat16" },
  { name: "gpt-neox-bfloat16", config: { ...neoxSizes, model_type: "gpt_neox" }, lora, dtype: "bfloat16" },
  { name: "llama-float16", config: { ...llamaSizes, model_type: "llama" }, lora: attentionOnly, dtype: "float16" },
  {
    name: "llama-rslora-patterns-and-regex",
    config: { ...llamaSizes, model_type: "llama" },
    lora: {
      ...lora,
      target_modules: ".*\\.(self_attn\\.(q|k|v)_proj|mlp\\.up_proj)",
      use_rslora: true,
      rank_pattern: { "layers.1.self_attn.q_proj": 5, "mlp.*": 2 },
      alpha_pattern: { v_proj: 9 },
    },
  },
  { name: "llama-dora", config: { ...llamaSizes, model_type: "llama" }, lora: { ...lora, use_dora: true } },
  {
    name: "gpt2-dora",
    config: { ...gpt2Sizes, model_type: "gpt2" },
    lora: { ...lora, use_dora: true, bias: "lora_only" },
  },
  {
    name: "llama-embedding-and-head",
    config: { ...llamaSizes, model_type: "llama" },
    lora: { ...attentionOnly, modules_to_save: ["embed_tokens", "lm_head"] },
  },
  {
    name: "qwen2-tied-head-and-biases",
    config: { ...llamaSizes, model_type: "qwen2", tie_word_embeddings: true },
    lora: { ...lora, bias: "lora_only", modules_to_save: ["lm_head"] },
  },
  {
    name: "gpt2-tied-embedding",
    config: { ...gpt2Sizes, model_type: "gpt2" },
    lora: { ...lora, target_modules: ["c_attn"], modules_to_save: ["wte"] },
  },
  {
    name: "opt-biases",
    config: { ...optSizes, model_type: "opt" },
    lora: { ...attentionOnly, bias: "lora_only", use_rslora: true },
  },
  { name: "mistral", config: { ...llamaSizes, model_type: "mistral", sliding_window: null }, lora },
  { name: "mistral-sliding", config: { ...llamaSizes, model_type: "mistral", sliding_window: 3 }, lora: attentionOnly },
  { name: "qwen2", config: { ...llamaSizes, model_type: "qwen2" }, lora },
  {
    name: "qwen2-tied-sliding",
    config: {
      ...llamaSizes,
      model_type: "qwen2",
      tie_word_embeddings: true,
      use_sliding_window: true,
      sliding_window: 4,
      max_window_layers: 1,
    },
    lora: attentionOnly,
  },
  { name: "qwen3", config: { ...llamaSizes, model_type: "qwen3", head_dim: 8 }, lora },
  { name: "qwen3-biases", config: { ...llamaSizes, model_type: "qwen3", head_dim: 6, attention_bias: true }, lora },
  { name: "gpt2", config: { ...gpt2Sizes, model_type: "gpt2" }, lora },
  {
    name: "gpt2-attention",
    config: { ...gpt2Sizes, model_type: "gpt2", n_inner: 30, scale_attn_by_inverse_layer_idx: true },
    lora: { ...lora, target_modules: ["c_attn"] },
  },
  {
    name: "gpt2-untied-relu",
    config: { ...gpt2Sizes, model_type: "gpt2", tie_word_embeddings: false, activation_function: "relu" },
    lora: { ...lora, target_modules: ["c_proj", "c_fc"] },
  },
  { name: "opt", config: { ...optSizes, model_type: "opt" }, lora },
  {
    name: "opt-350m-like",
    config: { ...optSizes, model_type: "opt", do_layer_norm_before: false, word_embed_proj_dim: 12 },
    lora,
  },
  {
    name: "opt-plain-norms",
    config: { ...optSizes, model_type: "opt", layer_norm_elementwise_affine: false, enable_bias: false },
    lora: attentionOnly,
  },
  { name: "gpt-neox", config: { ...neoxSizes, model_type: "gpt_neox" }, lora },
  {
    name: "gpt-neox-sequential",
    config: {
      ...neoxSizes,
      model_type: "gpt_neox",
      use_parallel_residual: false,
      hidden_act: "gelu_new",
      tie_word_embeddings: true,
      rope_parameters: { rope_type: "default", rope_theta: 100, partial_rotary_factor: 1 },
    },
    lora: { ...lora, target_modules: ["query_key_value"] },
  },
];
