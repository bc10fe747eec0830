import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { hostFileSystem } from "../../../../shared/checkpoint/fileSystem.ts";
import type { Tensor } from "../../../../shared/checkpoint/flat.ts";
import { type MergeOptions, mergeAdapter } from "../../../../shared/merge/mergeAdapter.ts";
import { elementCount } from "../../../../shared/tensors/layout.ts";
import { encodeSafetensors, openSafetensors } from "../../../../shared/tensors/safetensors.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const config = { base_model_name_or_path: null, r: 2, lora_alpha: 4, lora_dropout: 0, target_modules: ["q"] };
const filled = (shape: number[], salt: number): Tensor => ({
  shape,
  data: Float32Array.from({ length: elementCount(shape) }, (_, index) => Math.sin(index * 1.7 + salt)),
});

/** A model of the given weights, and the options that merge an adapter of q [out, in] into it. */
async function setUp(weights: Record<string, Tensor>, [out, into]: [number, number], modelConfig: object = {}) {
  const root = temporaryDirectory();
  const model = join(root, "model");
  await mkdir(model);
  await writeFile(join(model, "config.json"), JSON.stringify({ model_type: "llama", ...modelConfig }));
  await writeFile(join(model, "tokenizer.json"), "{}");
  const named = Object.entries(weights).map(([name, tensor]) => ({ name, ...tensor }));
  await writeFile(join(model, "model.safetensors"), encodeSafetensors(named, { format: "pt" }));
  const [down, up] = [filled([2, into], 1), filled([out, 2], 2)];
  const tensors = new Map([
    ["base_model.model.a.c_attn.lora_A.weight", down],
    ["base_model.model.a.c_attn.lora_B.weight", up],
  ]);
  const options: MergeOptions = {
    ...{ model, adapter: { config, tensors }, source: "the adapter", to: join(root, "merged"), dtype: undefined },
    ...{ maxShardBytes: 1e9, signal: new AbortController().signal },
  };
  /** scale · B · A at an element of [out, in]. */
  const delta = (row: number, column: number) =>
    2 * (up.data[2 * row]! * down.data[column]! + up.data[2 * row + 1]! * down.data[into + column]!);
  return { root, options, delta };
}

async function read(path: string, name: string): Promise<Float32Array> {
  const file = await openSafetensors(path);
  const values = await file.readFloat32(name);
  await file.close();
  return values;
}

describe("mergeAdapter", () => {
  it("adds alpha / r · B · A to a weight of several pieces, and leaves the others bit for bit", async () => {
    const [out, into] = [1100, 1000];
    const weight = filled([out, into], 3);
    const other = { shape: [3], data: Float32Array.of(-0, 1e-42, 3) };
    const { delta, options } = await setUp({ other, "a.c_attn.weight": weight }, [out, into]);
    const report = await mergeAdapter(options);
    expect(report).toEqual({ files: ["model.safetensors"], bytes: 4 * (out * into + 3), modules: 1 });
    expect((await readdir(options.to)).sort()).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
    const path = join(options.to, "model.safetensors");
    const merged = await read(path, "a.c_attn.weight");
    const wrong = merged.findIndex((value, index) => {
      const expected = Math.fround(weight.data[index]! + delta(Math.floor(index / into), index % into));
      return Math.abs(value - expected) > 2e-7 * Math.max(1, Math.abs(expected));
    });
    expect(wrong).toBe(-1);
    expect([...(await read(path, "other"))]).toEqual([...other.data]);
  });

  it("adds the transposed product where the base keeps its weights as [in, out]", async () => {
    const [out, into] = [3, 5];
    const weight = filled([into, out], 3);
    const { delta, options } = await setUp({ "a.c_attn.weight": weight }, [out, into], { model_type: "gpt2" });
    await mergeAdapter(options);
    const merged = await read(join(options.to, "model.safetensors"), "a.c_attn.weight");
    weight.data.forEach((value, index) => {
      expect(merged[index]).toBeCloseTo(value + delta(index % out, Math.floor(index / out)), 6);
    });
  });

  it("writes the type asked for into the weights and config.json, under the key that is there", async () => {
    const { options } = await setUp({ "a.c_attn.weight": filled([3, 5], 3) }, [3, 5], { dtype: "float32" });
    await mergeAdapter({ ...options, dtype: "BF16" });
    expect(JSON.parse(await readFile(join(options.to, "config.json"), "utf8"))).toMatchObject({ dtype: "bfloat16" });
    const file = await openSafetensors(join(options.to, "model.safetensors"));
    expect(file.entries.get("a.c_attn.weight")?.dtype).toBe("BF16");
    await file.close();
  });

  it("refuses float16 where a value would become infinite", async () => {
    const weight = { shape: [3, 5], data: new Float32Array(15).fill(70_000) };
    const { options } = await setUp({ "a.c_attn.weight": weight }, [3, 5]);
    await expect(mergeAdapter({ ...options, dtype: "F16" })).rejects.toThrow("which float16 cannot");
  });

  it("leaves nothing behind when it is stopped, when the disk is full and when the place is taken", async () => {
    const { options, root } = await setUp({ "a.c_attn.weight": filled([3, 5], 3) }, [3, 5]);
    const stopped = AbortSignal.abort(new Error("enough"));
    await expect(mergeAdapter({ ...options, signal: stopped })).rejects.toThrow("enough");
    const full = { ...hostFileSystem, freeBytes: () => Promise.resolve(59) };
    await expect(mergeAdapter({ ...options, fs: full })).rejects.toThrow(/needs 60 bytes, but 59 bytes are free/);
    expect(await readdir(root)).toEqual(["model"]);
    await writeFile(options.to, "mine");
    await expect(mergeAdapter(options)).rejects.toThrow("is there already");
    expect(await readFile(options.to, "utf8")).toBe("mine");
  });

  it("refuses a quantized base model and one that is not there", async () => {
    const { options } = await setUp({ "a.c_attn.weight": filled([3, 5], 3) }, [3, 5], {
      quantization_config: { bits: 4 },
    });
    await expect(mergeAdapter(options)).rejects.toThrow("has quantized weights");
    await expect(mergeAdapter({ ...options, model: "/nowhere" })).rejects.toThrow("There is no base model directory");
  });
});
