import { describe, expect, it } from "vitest";
import {
  adapterConfigOf,
  decodeAdapterConfig,
  encodeAdapterConfig,
} from "../../../../shared/checkpoint/adapterConfig.ts";
import { runConfigSchema } from "../../../../shared/config/schema.ts";
import { layOut } from "../../../../shared/tensors/layout.ts";

const layout = layOut(
  ["v_proj", "q_proj"].flatMap((module) =>
    ["A", "B"].map((side) => ({
      name: `base_model.model.model.layers.0.self_attn.${module}.lora_${side}.weight`,
      shape: [2, 2],
    })),
  ),
);
const text = (config: Parameters<typeof encodeAdapterConfig>[0]) =>
  new TextDecoder().decode(encodeAdapterConfig(config));
const minimal = { peft_type: "LORA", r: 8, lora_alpha: 16, target_modules: ["q_proj"] };
const decode = (changes: object) => decodeAdapterConfig(JSON.stringify({ ...minimal, ...changes }), "a.json");

describe("adapterConfigOf", () => {
  it("takes the run's settings", () => {
    const config = runConfigSchema.parse({ loraR: 4, loraAlpha: 32, loraDropout: 0.1, targetModules: ["k_proj"] });
    expect(adapterConfigOf(config, "/models/base", layout)).toEqual({
      base_model_name_or_path: "/models/base",
      r: 4,
      lora_alpha: 32,
      lora_dropout: 0.1,
      target_modules: ["k_proj"],
    });
  });

  it("takes rank-stabilised scales and ranks and alphas of single modules, and reads them back", () => {
    const given = { useRslora: true, rankPattern: ["q_proj=4", "layers.0.*=2"], alphaPattern: ["v_proj=0.5"] };
    const config = adapterConfigOf(runConfigSchema.parse(given), "base", layout);
    expect(config).toMatchObject({
      use_rslora: true,
      rank_pattern: { q_proj: 4, "layers.0.*": 2 },
      alpha_pattern: { v_proj: 0.5 },
    });
    expect(decodeAdapterConfig(text(config), "a.json")).toEqual(config);
  });

  it("writes one regular expression as PEFT wants it, and whole names for several", () => {
    const one = adapterConfigOf(runConfigSchema.parse({ targetModules: [".*[qv]_proj"] }), "base", layout);
    expect(JSON.parse(text(one))).toMatchObject({ target_modules: ".*[qv]_proj" });
    expect(decodeAdapterConfig(text(one), "a.json")).toEqual(one);
    const both = adapterConfigOf(runConfigSchema.parse({ targetModules: ["v_proj", ".*q_proj"] }), "base", layout);
    expect(both.target_modules).toEqual(["v_proj", "q_proj"].map((name) => `model.layers.0.self_attn.${name}`));
  });

  it("names the modules that all-linear stands for", () => {
    const config = runConfigSchema.parse({ targetModules: ["all-linear"] });
    expect(adapterConfigOf(config, "base", layout).target_modules).toEqual(["q_proj", "v_proj"]);
  });
});

describe("encodeAdapterConfig", () => {
  it("is read back as it was and holds what PEFT's LoraConfig needs", () => {
    const config = adapterConfigOf(runConfigSchema.parse({}), "base", layout);
    expect(decodeAdapterConfig(text(config), "a.json")).toEqual(config);
    expect(JSON.parse(text(config))).toMatchObject({
      peft_type: "LORA",
      task_type: "CAUSAL_LM",
      bias: "none",
      fan_in_fan_out: false,
      inference_mode: true,
      r: 8,
      lora_alpha: 16,
      target_modules: ["q_proj", "v_proj"],
    });
  });
});

describe("decodeAdapterConfig", () => {
  it("reads PEFT's variants: a single string of modules, no dropout, keys that it does not know", () => {
    expect(decode({ target_modules: "all-linear", megatron_core: "megatron.core", corda_config: null })).toEqual({
      base_model_name_or_path: null,
      r: 8,
      lora_alpha: 16,
      lora_dropout: 0,
      target_modules: ["all-linear"],
    });
  });

  it.each<[object, string]>([
    [{ peft_type: "IA3" }, "peft_type: must be LORA"],
    [{ use_dora: 1 }, "use_dora"],
    [{ rank_pattern: { q_proj: 0.5 } }, "rank_pattern"],
    [{ alpha_pattern: { "q_proj(": 4 } }, "alpha_pattern"],
    [{ modules_to_save: "lm_head" }, "modules_to_save"],
    [{ bias: "all" }, "bias: must be none or lora_only"],
    [{ r: 0 }, "r: "],
    [{ r: "8" }, "r: "],
    [{ lora_alpha: undefined }, "lora_alpha: "],
  ])("refuses %j, which would compute something else", (changes, expected) => {
    expect(() => decode(changes)).toThrow(expect.objectContaining({ code: "ADAPTER_INVALID" }));
    expect(() => decode(changes)).toThrow(expected);
    expect(() => decode(changes)).toThrow("a.json");
  });

  it("reads what is trained beside the matrices, and nothing of what is off", () => {
    const extras = { use_dora: true, bias: "lora_only", modules_to_save: ["lm_head"] } as const;
    expect(decode(extras)).toMatchObject(extras);
    const off = decode({ use_dora: false, bias: "none", modules_to_save: null });
    for (const key of Object.keys(extras)) expect(off).not.toHaveProperty(key);
  });

  it("refuses what is not JSON and a key given twice", () => {
    expect(() => decodeAdapterConfig("{", "a.json")).toThrow("a.json is not valid JSON");
    expect(() => decodeAdapterConfig('{"r":1,"r":2}', "a.json")).toThrow('"r" occurs twice');
    expect(() => decodeAdapterConfig("[]", "a.json")).toThrow("the document");
  });
});
