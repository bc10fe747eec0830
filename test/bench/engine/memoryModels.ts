import type { Execution } from "../../../worker/model/execution.ts";
import type { MemoryModel } from "./engineMemory.ts";

const lora = { kind: "lora", r: 8, alpha: 16, dropout: 0, targetModules: ["q_proj", "v_proj"] } as const;
const vocabularySize = 32_000;
const llama = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: vocabularySize,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  max_position_embeddings: 4096,
  tie_word_embeddings: false,
};
/** The 0.41 B model. */
export const llama04b = {
  ...llama,
  hidden_size: 896,
  intermediate_size: 4864,
  num_hidden_layers: 24,
  num_attention_heads: 14,
  num_key_value_heads: 2,
};

const whole: Execution = { kind: "whole" };
const recomputed: Execution = { kind: "layered", storage: "file" };
const eightBit: Execution = { kind: "layered", storage: "int8" };
const fourBit: Execution = { kind: "layered", storage: "nf4" };

const of = (name: string, execution: Execution, batch: number, sequence: number, trainable: object = lora) => ({
  ...{ name: `${name}, ${batch} × ${sequence}`, execution, batch, sequence, steps: 2, threads: 2 },
  trainable: trainable as typeof lora,
});

/** What `engine-memory` measures: families, element types, storage, batch and sequence. */
export const memoryModels: readonly MemoryModel[] = [
  {
    name: "Llama 0.41 B",
    vocabularySize,
    dtype: "F32",
    config: llama04b,
    cases: [
      of("whole graph, F32", whole, 1, 256),
      of("--gradient-checkpointing, F32", recomputed, 1, 256),
      of("--gradient-checkpointing, F32", recomputed, 4, 256),
      of("--load-in-4bit", fourBit, 1, 256),
    ],
  },
  {
    name: "Llama 0.1 B",
    vocabularySize,
    dtype: "F32",
    config: {
      ...llama,
      hidden_size: 768,
      intermediate_size: 2048,
      num_hidden_layers: 12,
      num_attention_heads: 12,
      num_key_value_heads: 4,
      tie_word_embeddings: true,
    },
    cases: [of("whole graph, F32", whole, 4, 128), of("--load-in-8bit", eightBit, 1, 256)],
  },
  {
    name: "GPT-2 0.12 B",
    vocabularySize: 50_257,
    dtype: "BF16",
    config: { model_type: "gpt2", vocab_size: 50_257, n_positions: 1024, n_embd: 768, n_layer: 12, n_head: 12 },
    cases: [
      of("whole graph, BF16", whole, 2, 256, { ...lora, targetModules: ["c_attn"] }),
      of("--gradient-checkpointing, BF16", recomputed, 1, 512, { ...lora, targetModules: ["c_attn"] }),
    ],
  },
  {
    name: "Qwen2 0.5 B",
    vocabularySize: 151_936,
    dtype: "BF16",
    config: {
      ...llama,
      architectures: ["Qwen2ForCausalLM"],
      model_type: "qwen2",
      vocab_size: 151_936,
      hidden_size: 896,
      intermediate_size: 4864,
      num_hidden_layers: 24,
      num_attention_heads: 14,
      num_key_value_heads: 2,
      tie_word_embeddings: true,
    },
    cases: [of("--gradient-checkpointing, BF16", recomputed, 2, 128), of("--load-in-8bit", eightBit, 1, 512)],
  },
];

/** The 7B-shaped model: 13.5 GB on disk while it is measured. */
export const sevenBillion: readonly MemoryModel[] = [
  {
    name: "Llama 7 B (hidden 4096, 32 layers, 32 heads, intermediate 11008, vocabulary 32000)",
    vocabularySize,
    dtype: "BF16",
    config: {
      ...llama,
      hidden_size: 4096,
      intermediate_size: 11_008,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: 32,
    },
    cases: [{ ...of("--load-in-4bit", fourBit, 1, 64), steps: 1 }],
  },
];
