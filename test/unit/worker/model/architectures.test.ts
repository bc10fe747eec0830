import { describe, expect, it } from "vitest";
import { batchInputs, positionTables } from "../../../../worker/model/batchInputs.ts";
import { buildModel } from "../../../../worker/model/model.ts";
import type { Trainable } from "../../../../worker/model/trainable.ts";
import { randomBatch, tinyConfig, tinyLora } from "../../../support/tinyModel.ts";

const allLinear: Trainable = { ...tinyLora, targetModules: ["all-linear"] };
const build = (config: object, trainable: Trainable = allLinear) => buildModel(config, "DIR/config.json", trainable);
const refusal = (message: string, code = "MODEL_INVALID") =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });

const mistral = { ...tinyConfig, architectures: ["MistralForCausalLM"] };
const qwen2 = { ...tinyConfig, architectures: ["Qwen2ForCausalLM"] };
const qwen3 = { ...tinyConfig, architectures: ["Qwen3ForCausalLM"] };
const gpt2 = { model_type: "gpt2", vocab_size: 37, n_positions: 8, n_embd: 24, n_layer: 2, n_head: 4 };
const opt = {
  model_type: "opt",
  vocab_size: 37,
  hidden_size: 24,
  ffn_dim: 40,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  max_position_embeddings: 8,
};
const neox = {
  model_type: "gpt_neox",
  vocab_size: 37,
  hidden_size: 32,
  intermediate_size: 40,
  num_hidden_layers: 1,
  num_attention_heads: 4,
};

/** Modules with an adapter, without the layer's prefix. */
function adapted({ layout }: ReturnType<typeof build>): string[] {
  const names = layout.tensors.map(({ name }) => /([^.]+\.[^.]+)\.lora_A\.weight$/.exec(name)?.[1]);
  return [...new Set(names)].filter((name) => name !== undefined);
}

describe("configurations", () => {
  it("take transformers' defaults for missing keys, which differ between families", () => {
    const keyShape = (config: object) => build(config).frozen.get("model.layers.0.self_attn.k_proj.weight");
    const open = { num_key_value_heads: undefined, head_dim: undefined };
    expect(keyShape({ ...tinyConfig, ...open })).toEqual([24, 24]);
    const heads = { ...open, num_attention_heads: 32, hidden_size: 64 };
    expect(keyShape({ ...mistral, ...heads })).toEqual([8 * 2, 64]);
    expect(keyShape({ ...mistral, ...heads, num_key_value_heads: null })).toEqual([64, 64]);
    expect(keyShape({ ...qwen3, ...heads })).toEqual([32 * 128, 64]);
    expect(build({ ...mistral, sliding_window: undefined }).slidingWindow).toBe(4096);
    expect(build({ ...mistral, sliding_window: null }).slidingWindow).toBeUndefined();
    expect(build({ ...qwen2, sliding_window: 64 }).slidingWindow).toBeUndefined();
    expect(build({ ...qwen2, sliding_window: 64, use_sliding_window: true }).slidingWindow).toBe(64);
    expect(build(neox).inverseFrequencies).toHaveLength(1);
    expect(build({ ...neox, rotary_pct: 1 }).inverseFrequencies).toHaveLength(4);
  });

  it("are told apart by model_type where they name no architecture", () => {
    expect(build({ ...tinyConfig, architectures: undefined, model_type: "qwen3" }).frozen).toSatisfy(
      (frozen: ReadonlyMap<string, unknown>) => frozen.has("model.layers.0.self_attn.q_norm.weight"),
    );
  });

  it("have biases where their family has them", () => {
    const biases = (config: object) => [...build(config).frozen.keys()].filter((name) => /0\..*bias$/.test(name));
    expect(biases({ ...mistral, attention_bias: true, mlp_bias: true })).toEqual([]);
    expect(biases(qwen2)).toEqual(["q", "k", "v"].map((name) => `model.layers.0.self_attn.${name}_proj.bias`));
    expect(biases({ ...qwen3, attention_bias: true })).toHaveLength(4);
  });

  it("are refused with the key that is not supported", () => {
    expect(() => build({ ...gpt2, activation_function: "quick" })).toThrow(refusal("activation_function"));
    expect(() => build({ ...gpt2, add_cross_attention: true })).toThrow(refusal("cross-attention is not supported"));
    expect(() => build({ ...gpt2, n_head: 5 })).toThrow(refusal("24 is no multiple of its 5 heads"));
    expect(() => build({ ...opt, ffn_dim: undefined })).toThrow(refusal("OPT model that can be trained: ffn_dim"));
    expect(() => build({ ...neox, rotary_pct: 0.4 })).toThrow(refusal("3 rotated elements of a head"));
    expect(() => build({ ...neox, rope_scaling: { type: "dynamic" } })).toThrow(refusal('"dynamic" is not supported'));
    expect(() => build({ ...qwen2, layer_types: ["linear_attention"] })).toThrow(refusal("layer_types"));
  });
});

describe("published models have as many parameters here as their cards say:", () => {
  const llamaLike = (hidden: number, intermediate: number, layers: number, heads: number, keyValueHeads: number) => ({
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: keyValueHeads,
  });
  // The keys of each config.json that matter.
  it.each<[string, number, object]>([
    [
      "deepseek-ai/deepseek-coder-7b-base-v1.5",
      6_910_365_696,
      {
        ...llamaLike(4096, 11008, 30, 32, 32),
        architectures: ["LlamaForCausalLM"],
        vocab_size: 102400,
        rope_scaling: null,
      },
    ],
    [
      "mistralai/Mistral-7B-v0.1",
      7_241_732_096,
      {
        ...llamaLike(4096, 14336, 32, 32, 8),
        architectures: ["MistralForCausalLM"],
        vocab_size: 32000,
        sliding_window: 4096,
      },
    ],
    [
      "Qwen/Qwen2.5-0.5B",
      494_032_768,
      {
        ...llamaLike(896, 4864, 24, 14, 2),
        architectures: ["Qwen2ForCausalLM"],
        vocab_size: 151936,
        tie_word_embeddings: true,
        sliding_window: 32768,
        use_sliding_window: false,
      },
    ],
    [
      "Qwen/Qwen3-0.6B",
      596_049_920,
      {
        ...llamaLike(1024, 3072, 28, 16, 8),
        architectures: ["Qwen3ForCausalLM"],
        vocab_size: 151936,
        head_dim: 128,
        tie_word_embeddings: true,
        sliding_window: null,
      },
    ],
    [
      "openai-community/gpt2",
      124_439_808,
      {
        architectures: ["GPT2LMHeadModel"],
        vocab_size: 50257,
        n_positions: 1024,
        n_embd: 768,
        n_layer: 12,
        n_head: 12,
      },
    ],
    [
      "facebook/opt-125m",
      125_239_296,
      {
        architectures: ["OPTForCausalLM"],
        vocab_size: 50272,
        hidden_size: 768,
        ffn_dim: 3072,
        num_hidden_layers: 12,
        num_attention_heads: 12,
        word_embed_proj_dim: 768,
        _remove_final_layer_norm: false,
      },
    ],
    [
      "facebook/opt-350m",
      331_196_416,
      {
        architectures: ["OPTForCausalLM"],
        vocab_size: 50272,
        hidden_size: 1024,
        ffn_dim: 4096,
        num_hidden_layers: 24,
        num_attention_heads: 16,
        word_embed_proj_dim: 512,
        do_layer_norm_before: false,
      },
    ],
    [
      "EleutherAI/pythia-70m",
      70_426_624,
      {
        architectures: ["GPTNeoXForCausalLM"],
        vocab_size: 50304,
        hidden_size: 512,
        intermediate_size: 2048,
        num_hidden_layers: 6,
        num_attention_heads: 8,
        rotary_pct: 0.25,
        rotary_emb_base: 10000,
      },
    ],
  ])("%s", (_, parameters, config) => {
    const shapes = [...build(config).frozen.values()];
    expect(shapes.reduce((sum, shape) => sum + shape.reduce((product, dim) => product * dim, 1), 0)).toBe(parameters);
  });
});

describe("linear modules", () => {
  it("of GPT-2 have transposed weights and adapters named as PEFT names them", () => {
    const model = build(gpt2);
    expect(model.frozen.get("transformer.h.1.attn.c_attn.weight")).toEqual([24, 72]);
    expect(adapted(model)).toEqual(["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]);
    const shapes = model.layout.tensors.slice(0, 2).map(({ name, shape }) => [name.slice(-35), shape]);
    expect(shapes).toEqual([
      ["transformer.h.0.attn.c_attn.lora_A.weight".slice(-35), [3, 24]],
      ["transformer.h.0.attn.c_attn.lora_B.weight".slice(-35), [72, 3]],
    ]);
  });

  it("of OPT and GPT-NeoX are those of transformers", () => {
    expect(adapted(build({ ...opt, word_embed_proj_dim: 12 }))).toEqual([
      "decoder.project_in",
      "self_attn.q_proj",
      "self_attn.k_proj",
      "self_attn.v_proj",
      "self_attn.out_proj",
      "0.fc1",
      "0.fc2",
      "decoder.project_out",
    ]);
    expect(adapted(build(neox))).toEqual([
      "attention.query_key_value",
      "attention.dense",
      "mlp.dense_h_to_4h",
      "mlp.dense_4h_to_h",
    ]);
  });

  it("are listed when a target is none of them", () => {
    expect(() => build(gpt2, tinyLora)).toThrow(
      refusal('"q_proj", which is no linear module of the model; there are c_attn, c_proj, c_fc', "CONFIG_INVALID"),
    );
  });
});

describe("positions", () => {
  it("that are learned refuse longer samples with the way out, yet take padding", () => {
    const model = build(opt);
    const inputs = (lengths: number[]) => {
      const batch = randomBatch(lengths, 2, 37, Math.max(12, ...lengths));
      return batchInputs(model, batch, positionTables(model, batch.sequence));
    };
    expect([...inputs([9]).values.get("positions")!.data]).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 9]);
    expect(() => inputs([10])).toThrow(refusal("set --max-length to 8 or less"));
  });

  it("out of a sliding window are masked", () => {
    const { slidingMask } = positionTables({ ...build(mistral), slidingWindow: 2 }, 4);
    const seen = Array.from({ length: 4 }, (_, query) =>
      [0, 1, 2, 3].filter((key) => slidingMask?.[4 * query + key] === 0),
    );
    expect(seen).toEqual([[0], [0, 1], [1, 2], [2, 3]]);
  });
});
