import { describe, expect, it } from "vitest";
import { loraModuleOf, loraModules } from "../../../../shared/checkpoint/loraModules.ts";

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

  it("knows no module in other names", () => {
    expect(loraModuleOf("base_model.model.a.lora_A.weight")).toEqual({ module: "a", matrix: "A" });
    for (const other of ["a.lora_A.weight", "base_model.model.a.lora_C.weight", "base_model.model.a.lora_A.bias"]) {
      expect(loraModuleOf(other)).toBeUndefined();
    }
  });
});
