import { describe, expect, it } from "vitest";
import type { LoraModule } from "../../../../shared/checkpoint/loraModules.ts";
import { type BaseTensor, planMerge } from "../../../../shared/merge/mergePlan.ts";

const tensor = (name: string, shape: number[], dtype = "F32"): BaseTensor => ({ name, shape, dtype });
const matrix = (rows: number, columns: number) => ({ shape: [rows, columns], data: new Float32Array(rows * columns) });
const lora = (module: string, out: number, into: number): LoraModule => ({
  module,
  up: matrix(out, 2),
  down: matrix(2, into),
  scale: 1,
});
const keep = { dtype: undefined, maxShardBytes: 1e9 };
const q = "model.layers.0.self_attn.q_proj";

describe("planMerge", () => {
  it("keeps order and types, and gives each adapter to its weight", () => {
    const base = [
      tensor("model.embed_tokens.weight", [8, 4], "BF16"),
      tensor(`${q}.weight`, [6, 4]),
      tensor("ids", [3], "I64"),
    ];
    const plan = planMerge(base, [lora(q, 6, 4)], keep);
    expect(plan.shards).toMatchObject([{ file: "model.safetensors" }]);
    expect(plan.shards[0]!.tensors.map(({ bytes, dtype, lora, name }) => [name, dtype, bytes, lora?.module])).toEqual([
      ["model.embed_tokens.weight", "BF16", 64, undefined],
      [`${q}.weight`, "F32", 96, q],
      ["ids", "I64", 24, undefined],
    ]);
    expect(plan).toMatchObject({ totalBytes: 184, untied: false });
  });

  it("changes the type of float tensors only", () => {
    const plan = planMerge([tensor(`${q}.weight`, [6, 4]), tensor("ids", [3], "I64")], [lora(q, 6, 4)], {
      ...keep,
      dtype: "F16",
    });
    expect(plan.shards[0]!.tensors.map(({ dtype }) => dtype)).toEqual(["F16", "I64"]);
  });

  it("begins a new file where the limit would be passed, also for a tensor larger than the limit", () => {
    const sizes = [10, 10, 30, 5, 5, 19];
    const base = sizes.map((size, index) => tensor(`t${index}`, [size, 1]));
    const { shards } = planMerge([...base, tensor(`${q}.weight`, [1, 1])], [lora(q, 1, 1)], {
      ...keep,
      maxShardBytes: 80,
    });
    expect(shards.map(({ tensors }) => tensors.length)).toEqual([2, 1, 2, 2]);
    expect(shards.map(({ file }) => file)).toEqual([1, 2, 3, 4].map((n) => `model-0000${n}-of-00004.safetensors`));
  });

  it("gives a head that shares the embedding's weight one of its own", () => {
    const base = [tensor("model.embed_tokens.weight", [8, 4])];
    const plan = planMerge(base, [lora("lm_head", 8, 4)], keep);
    expect(plan.untied).toBe(true);
    expect(plan.shards[0]!.tensors.map(({ lora, name, source }) => [name, source.name, lora?.module])).toEqual([
      ["model.embed_tokens.weight", "model.embed_tokens.weight", undefined],
      ["lm_head.weight", "model.embed_tokens.weight", "lm_head"],
    ]);
    const own = planMerge([...base, tensor("lm_head.weight", [8, 4])], [lora("lm_head", 8, 4)], keep);
    expect(own.untied).toBe(false);
  });

  it("puts what the adapter has its own of in its place, and a head of its own beside a new embedding", () => {
    const base = [tensor("model.embed_tokens.weight", [8, 4], "BF16"), tensor(`${q}.bias`, [6])];
    const embedding = matrix(8, 4);
    const bias = { shape: [6], data: new Float32Array(6) };
    const replaced = new Map([
      ["model.embed_tokens.weight", embedding],
      [`${q}.bias`, bias],
    ]);
    const plan = planMerge(base, [], { ...keep, replaced });
    expect(plan.untied).toBe(true);
    expect(plan.shards[0]!.tensors.map(({ name, replacement, source }) => [name, source.name, replacement])).toEqual([
      ["model.embed_tokens.weight", "model.embed_tokens.weight", embedding],
      [`${q}.bias`, `${q}.bias`, bias],
      ["lm_head.weight", "model.embed_tokens.weight", undefined],
    ]);
    const head = planMerge(base, [], { ...keep, replaced: new Map([["lm_head.weight", embedding]]) });
    expect(head.shards[0]!.tensors.at(-1)).toMatchObject({ name: "lm_head.weight", replacement: embedding });
    const other = new Map([[`${q}.bias`, matrix(6, 1)]]);
    expect(() => planMerge(base, [], { ...keep, replaced: other })).toThrow(
      "of shape [6,1], but the base model's has [6]",
    );
    expect(() => planMerge(base, [], { ...keep, replaced: new Map([["o.bias", bias]]) })).toThrow("changes o.bias");
  });

  it("finds weights in files that were saved without the output head", () => {
    const module = "transformer.h.0.attn.c_attn";
    const plan = planMerge([tensor("h.0.attn.c_attn.weight", [6, 4])], [lora(module, 6, 4)], keep);
    expect(plan.shards[0]!.tensors[0]).toMatchObject({ name: "h.0.attn.c_attn.weight", lora: { module } });
  });

  it.each([
    ["a module that the model has not", tensor("other.weight", [6, 4]), "which the base model has not"],
    ["another shape", tensor(`${q}.weight`, [4, 6]), "is for a weight of shape [6,4], but the base model's has [4,6]"],
    ["a quantized weight", tensor(`${q}.weight`, [6, 4], "I8"), "has dtype I8"],
  ])("refuses %s", (_, base, problem) => {
    expect(() => planMerge([base], [lora(q, 6, 4)], keep)).toThrow(problem);
  });
});
