import { describe, expect, it } from "vitest";
import type { AdapterExtras } from "../../../../shared/checkpoint/adapterConfig.ts";
import type { Tensor } from "../../../../shared/checkpoint/flat.ts";
import { loraModuleOf, loraModules, replacedWeights } from "../../../../shared/checkpoint/loraModules.ts";

const config = { base_model_name_or_path: null, r: 2, lora_alpha: 6, lora_dropout: 0, target_modules: ["q_proj"] };
const tensor = (...shape: number[]) => ({ shape, data: new Float32Array(shape[0]! * shape[1]!) });
const name = (matrix: string, module = "model.layers.0.self_attn.q_proj") =>
  `base_model.model.${module}.lora_${matrix}.weight`;

describe("loraModules", () => {
  it("pairs the matrices of each module, in any order", () => {
    const tensors = new Map([
      [name("B"), tensor(5, 2)],
      [name("A", "lm_head"), tensor(2, 4)],
      [name("A"), tensor(2, 3)],
      [name("B", "lm_head"), tensor(7, 2)],
    ]);
    const modules = loraModules(tensors, config, "the adapter");
    expect(modules.map(({ down, module, scale, up }) => [module, up.shape, down.shape, scale])).toEqual([
      ["model.layers.0.self_attn.q_proj", [5, 2], [2, 3], 3],
      ["lm_head", [7, 2], [2, 4], 3],
    ]);
  });

  it.each([
    ["nothing", new Map(), "holds no tensors"],
    ["one matrix", new Map([[name("A"), tensor(2, 3)]]), "only one of the two matrices"],
    [
      "another rank",
      new Map([
        [name("A"), tensor(4, 3)],
        [name("B"), tensor(5, 4)],
      ]),
      "not of rank 2",
    ],
    [
      "an embedding",
      new Map([["base_model.model.model.embed_tokens.lora_embedding_A", tensor(2, 3)]]),
      "no LoRA matrix",
    ],
  ])("refuses %s", (_, tensors, problem) => {
    expect(() => loraModules(tensors, config, "the adapter")).toThrow(problem);
  });

  it("gives a DoRA module its lengths, and refuses one without them", () => {
    const magnitude = { shape: [3], data: Float32Array.of(1, 2, 3) };
    const matrices: [string, Tensor][] = [
      ["base_model.model.a.lora_A.weight", { shape: [2, 4], data: new Float32Array(8) }],
      ["base_model.model.a.lora_B.weight", { shape: [3, 2], data: new Float32Array(6) }],
    ];
    const dora = { r: 2, lora_alpha: 2, use_dora: true };
    const whole = new Map([...matrices, ["base_model.model.a.lora_magnitude_vector", magnitude] as [string, Tensor]]);
    expect(loraModules(whole, dora, "it")).toMatchObject([{ module: "a", magnitude }]);
    expect(() => loraModules(new Map(matrices), dora, "it")).toThrow("has no lora_magnitude_vector of a");
    expect(() => loraModules(whole, { r: 2, lora_alpha: 2 }, "it")).toThrow("which is no LoRA matrix");
  });

  it("finds the weights that stand in for the base model's, where the settings have any", () => {
    const value = { shape: [1], data: Float32Array.of(1) };
    const tensors = new Map(
      ["lm_head.weight", "a.q_proj.base_layer.bias", "a.q_proj.lora_A.weight"].map((name) => [
        `base_model.model.${name}`,
        value,
      ]),
    );
    const found = (extras: AdapterExtras) => [...replacedWeights(tensors, extras).keys()];
    expect(found({ bias: "lora_only", modules_to_save: ["lm_head"] })).toEqual(["lm_head.weight", "a.q_proj.bias"]);
    expect(found({ modules_to_save: ["embed_tokens"] })).toEqual([]);
  });

  it("knows no module in other names", () => {
    expect(loraModuleOf("base_model.model.a.lora_A.weight")).toEqual({ module: "a", matrix: "A" });
    for (const other of ["a.lora_A.weight", "base_model.model.a.lora_C.weight", "base_model.model.a.lora_A.bias"]) {
      expect(loraModuleOf(other)).toBeUndefined();
    }
  });
});
