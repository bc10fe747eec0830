import { describe, expect, it } from "vitest";
import { initialParameters } from "../../../../worker/model/initialize.ts";
import { estimateMemory } from "../../../../worker/model/memory.ts";
import { buildModel } from "../../../../worker/model/model.ts";
import { scalingOf } from "../../../../worker/model/trainable.ts";
import { tinyConfig, tinyLora } from "../../../support/tinyModel.ts";

const build = (changes: object, trainable: Parameters<typeof buildModel>[2] = tinyLora) =>
  buildModel({ ...tinyConfig, ...changes }, "DIR/config.json", trainable);

const refusal = (message: string, code = "MODEL_INVALID") =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });

describe("a model", () => {
  it("is refused when its architecture is unknown, naming it and those that are known", () => {
    const names = refusal(
      'names the architecture "BloomForCausalLM"; supported: LlamaForCausalLM, MistralForCausalLM,',
    );
    expect(() => build({ architectures: ["BloomForCausalLM"] })).toThrow(names);
    expect(() => build({ architectures: undefined, model_type: "bloom" })).toThrow(
      refusal('names the model_type "bloom"; supported: LlamaForCausalLM,'),
    );
    expect(() => buildModel([], "DIR/config.json", tinyLora)).toThrow(refusal("does not hold a JSON object"));
  });

  it("is refused when config.json lacks or garbles what it needs, naming the key", () => {
    expect(() => build({ hidden_size: undefined })).toThrow(refusal("hidden_size"));
    expect(() => build({ num_hidden_layers: "2" })).toThrow(refusal("num_hidden_layers"));
    expect(() => build({ hidden_act: "gelu" })).toThrow(refusal("hidden_act"));
    expect(() => build({ num_key_value_heads: 3 })).toThrow(refusal("no multiple of num_key_value_heads 3"));
    expect(() => build({ rope_scaling: { rope_type: "yarn", factor: 4 } })).toThrow(refusal('"yarn" is not supported'));
    expect(() => build({ rope_scaling: { type: "linear" } })).toThrow(refusal("lacks factor"));
    expect(() => build({ quantization_config: { bits: 4 } })).toThrow(refusal("quantized weights"));
  });

  it("scales its rotary frequencies as transformers does", () => {
    const plain = build({}).inverseFrequencies;
    expect([...plain]).toEqual(
      [1, Math.fround(10_000 ** (-1 / 3)), Math.fround(10_000 ** (-2 / 3))].map((f) => expect.closeTo(f, 7)),
    );
    const halved = build({ rope_scaling: { type: "linear", factor: 2 } }).inverseFrequencies;
    expect(halved).toEqual(plain.map((frequency) => frequency / 2));
    const theta = build({ rope_theta: 1, rope_parameters: { rope_theta: 10_000, rope_type: "default" } });
    expect(theta.inverseFrequencies).toEqual(plain);
    // Llama 3.1's settings on frequencies above, between and below its two wavelengths (8192 / 4 and 8192).
    const scaling = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
    const config = { head_dim: 128, rope_theta: 500_000 };
    const before = build(config).inverseFrequencies;
    const after = build({ ...config, rope_scaling: { rope_type: "llama3", ...scaling } }).inverseFrequencies;
    expect(after[0]).toBe(before[0]);
    expect(after[63]).toBe(Math.fround(before[63]! / 8));
    const turns = (8192 * before[30]!) / (2 * Math.PI);
    expect(turns).toBeGreaterThan(1);
    expect(turns).toBeLessThan(4);
    const smooth = (turns - 1) / 3;
    expect(after[30]).toBeCloseTo((1 - smooth) * (before[30]! / 8) + smooth * before[30]!, 8);
  });

  it("takes adapters where PEFT would put them and refuses targets that are no module", () => {
    const modules = (targetModules: string[]) =>
      build({}, { ...tinyLora, targetModules })
        .layout.tensors.filter(({ name }) => name.endsWith("lora_A.weight"))
        .map(({ name }) => name.replace("base_model.model.", "").replace(".lora_A.weight", ""));
    expect(modules(["q_proj"])).toEqual(["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"]);
    expect(modules(["layers.1.mlp.down_proj"])).toEqual(["model.layers.1.mlp.down_proj"]);
    expect(modules(["all-linear"])).toHaveLength(14);
    expect(modules(["all-linear"])).not.toContain("lm_head");
    expect(modules(["lm_head"])).toEqual(["lm_head"]);
    expect(() => modules(["q_proj", "qproj"])).toThrow(refusal('"qproj", which is no linear module', "CONFIG_INVALID"));
  });

  it("has biases where config.json says so", () => {
    const biased = build({ attention_bias: true, mlp_bias: true });
    expect(biased.frozen.get("model.layers.0.self_attn.k_proj.bias")).toEqual([12]);
    expect(biased.frozen.get("model.layers.1.mlp.gate_proj.bias")).toEqual([40]);
    expect(build({}).frozen.has("model.layers.0.self_attn.k_proj.bias")).toBe(false);
  });

  it("starts its adapters as PEFT does, from the seed and each tensor's name alone", () => {
    const { layout } = build({});
    const flat = initialParameters(layout, 7);
    const tensor = (name: string, of = layout, values = flat) => {
      const { offset, shape } = of.tensors.find((slice) => slice.name.includes(name))!;
      return values.slice(offset, offset + shape[0]! * shape[1]!);
    };
    const down = tensor("layers.1.self_attn.v_proj.lora_A");
    const bound = Math.sqrt(6 / ((1 + 5) * 24));
    expect(Math.max(...down.map(Math.abs))).toBeLessThanOrEqual(bound);
    expect(Math.max(...down.map(Math.abs))).toBeGreaterThan(0.8 * bound);
    expect(tensor("layers.1.self_attn.v_proj.lora_B").every((value) => value === 0)).toBe(true);
    expect(initialParameters(layout, 7)).toEqual(flat);
    expect(initialParameters(layout, 8)).not.toEqual(flat);
    const more = build({}, { ...tinyLora, targetModules: ["all-linear"] }).layout;
    expect(tensor("layers.1.self_attn.v_proj.lora_A", more, initialParameters(more, 7))).toEqual(down);
  });

  it("scales and ranks its adapters as PEFT does", () => {
    const lora = { ...tinyLora, r: 4, alpha: 8, rankPattern: { "layers.1.*q_proj": 16 }, alphaPattern: { v_proj: 3 } };
    const scales = (trainable: Parameters<typeof scalingOf>[0]) =>
      ["0.self_attn.q_proj", "1.self_attn.q_proj", "1.self_attn.v_proj"].map((name) =>
        scalingOf(trainable, `model.layers.${name}`),
      );
    expect(scales(lora)).toEqual([
      { rank: 4, scale: 2 },
      { rank: 16, scale: 0.5 },
      { rank: 4, scale: 0.75 },
    ]);
    expect(scales({ ...lora, useRslora: true }).map(({ scale }) => scale)).toEqual([4, 2, 1.5]);
    const shapes = build({}, lora).layout.tensors.map(({ shape }) => shape[0]);
    expect(shapes).toEqual([4, 24, 4, 12, 16, 24, 4, 12]);
  });

  it("takes regular expressions for whole names as targets and refuses broken ones", () => {
    const modules = (target: string) =>
      build({}, { ...tinyLora, targetModules: [target] })
        .layout.tensors.filter(({ name }) => name.endsWith("lora_A.weight"))
        .map(({ name }) => name.split(".").slice(4, -2).join("."));
    expect(modules(".*\\.1\\..*(q|up)_proj")).toEqual(["1.self_attn.q_proj", "1.mlp.up_proj"]);
    expect(() => modules("(q|v)_proj")).toThrow(refusal("which is no linear module", "CONFIG_INVALID"));
    expect(() => modules(".*(q_proj")).toThrow(refusal("nor a regular expression", "CONFIG_INVALID"));
  });

  it("starts A normal with standard deviation 1 / r when asked to", async () => {
    const { layout, initialParameters: start } = build({}, { ...tinyLora, r: 2, initLoraWeights: "gaussian" });
    const flat = await start(7);
    const down = layout.tensors.flatMap(({ name, offset, shape }) =>
      name.endsWith("lora_A.weight") ? [...flat.slice(offset, offset + shape[0]! * shape[1]!)] : [],
    );
    const deviation = Math.sqrt(down.reduce((sum, value) => sum + value * value, 0) / down.length);
    expect(deviation).toBeGreaterThan(0.4);
    expect(deviation).toBeLessThan(0.6);
    expect(Math.max(...down.map(Math.abs))).toBeGreaterThan(1);
  });

  it("trains copies of what is to be saved, of biases and lengths where asked to, and says what they start from", () => {
    const lora = { ...tinyLora, useDora: true, bias: "lora_only", modulesToSave: ["lm_head"] } as const;
    const { frozen, layout, starts } = build({ attention_bias: true, tie_word_embeddings: true }, lora);
    const prefix = "base_model.model.";
    const layer = "model.layers.0.self_attn.q_proj";
    expect(Object.fromEntries([...starts].map(([name, { as, from }]) => [name, [as, from]]))).toMatchObject({
      [`${prefix}${layer}.lora_magnitude_vector`]: ["row lengths", `${layer}.weight`],
      [`${prefix}${layer}.base_layer.bias`]: ["copy", `${layer}.bias`],
      [`${prefix}lm_head.weight`]: ["copy", "model.embed_tokens.weight"],
    });
    expect(layout.tensors.map(({ name }) => name)).toEqual(expect.arrayContaining([...starts.keys()]));
    expect([frozen.has(`${layer}.bias`), frozen.has(`${layer}.weight`)]).toEqual([false, true]);
    expect(() => build({}, { ...tinyLora, modulesToSave: ["o_proj"] })).toThrow(
      refusal("embed_tokens, lm_head can be trained as a whole", "CONFIG_INVALID"),
    );
  });

  it("estimates more memory for longer sequences, larger batches and more adapters", () => {
    const model = build({});
    const small = estimateMemory(model, { kind: "whole" }, 2, 64);
    expect(small.total).toBe(small.weights + small.activations + small.trainable + small.workspace);
    expect(small.weights).toBe(
      4 * [...model.frozen.values()].reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0),
    );
    const double = estimateMemory(model, { kind: "whole" }, 4, 64);
    expect(double.activations / small.activations).toBeCloseTo(2, 1);
    expect(estimateMemory(model, { kind: "whole" }, 2, 128).activations).toBeGreaterThan(2 * small.activations);
    const more = build({}, { ...tinyLora, targetModules: ["all-linear"] });
    expect(estimateMemory(more, { kind: "whole" }, 2, 64).trainable).toBeGreaterThan(small.trainable);
  });
});
