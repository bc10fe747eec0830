import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportAdapterTo } from "../../shared/checkpoint/exportAdapter.ts";
import { loadAdapter } from "../../shared/checkpoint/loadAdapter.ts";
import { mergeAdapter } from "../../shared/merge/mergeAdapter.ts";
import type { FloatType } from "../../shared/merge/mergePlan.ts";
import { buildModel } from "../../worker/model/model.ts";
import { writeRandomModel } from "../support/randomModel.ts";
import { randomParameters } from "../support/tinyModel.ts";
import { modelCases } from "./modelCases.ts";

/** Python with `transformers`, `torch` and `peft`: pip install transformers torch peft. */
const python = process.env["COORD_PYTHON"] ?? "python3";
const available = (() => {
  try {
    execFileSync(python, ["-c", "import torch, transformers, peft"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

const config = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 64,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 96,
  vocab_size: 320,
};

interface Case {
  readonly base: string;
  readonly adapter: string;
  readonly merged: string;
  /** In which transformers computes with the merged model. */
  readonly dtype: "float32" | "bfloat16";
}

interface Comparison {
  /** Largest absolute difference between the logits of the merged model and of base + adapter. */
  readonly difference: number;
  /** The same between base + adapter and the base alone. */
  readonly effect: number;
  /** Largest logit. */
  readonly magnitude: number;
  readonly missing: string[];
  readonly unexpected: string[];
  readonly tied: boolean;
}

const python3 = (script: string, input: unknown, ...args: string[]): string =>
  execFileSync(python, [`test/interop/${script}`, ...args], {
    input: JSON.stringify(input),
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    stdio: "pipe",
    env: { ...process.env, HF_HUB_OFFLINE: "1" },
  });
const compare = (cases: readonly Case[]) => JSON.parse(python3("export_reference.py", cases)) as Comparison[];

describe.skipIf(!available)(`A merged model in transformers (skipped where ${python} has no peft)`, () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "coord-export-"));
  });
  afterAll(() => rm(directory, { recursive: true }));

  const merge = async (base: string, adapter: string, merged: string, dtype?: FloatType, maxShardBytes = 1e9) =>
    mergeAdapter({
      ...{ model: base, adapter: await loadAdapter(adapter), source: adapter, to: merged },
      ...{ dtype, maxShardBytes, signal: AbortSignal.timeout(60_000) },
    });

  /** A base model with an adapter of random values on `targets`, merged, and compared in Python alone. */
  async function compareOwn(
    name: string,
    options: { tied: boolean; targets: string[]; dtype?: FloatType; maxShardBytes?: number },
  ): Promise<Comparison> {
    const { dtype, maxShardBytes, targets, tied } = options;
    const path = (kind: string) => join(directory, `${name}-${kind}`);
    const modelConfig = { ...config, tie_word_embeddings: tied };
    await writeRandomModel(path("base"), modelConfig);
    const lora = { kind: "lora", r: 4, alpha: 8, dropout: 0, targetModules: targets } as const;
    const { layout } = buildModel(modelConfig, "config.json", lora);
    const values = randomParameters(layout.elements).map((value) => value / 2);
    const tensors = layout.tensors.map(({ name, offset, shape }) => ({
      name,
      shape,
      data: values.subarray(offset, offset + shape[0]! * shape[1]!),
    }));
    const modules = [...new Set(layout.tensors.map(({ name }) => /([^.]+)\.lora_/.exec(name)![1]!))];
    const settings = { base_model_name_or_path: path("base"), r: 4, lora_alpha: 8, lora_dropout: 0 };
    await exportAdapterTo(path("adapter"), tensors, { ...settings, target_modules: modules });
    await merge(path("base"), path("adapter"), path("merged"), dtype, maxShardBytes);
    const places = { base: path("base"), adapter: path("adapter"), merged: path("merged") };
    const [found] = compare([{ ...places, dtype: dtype === "BF16" ? "bfloat16" : "float32" }]);
    process.stdout.write(`${name}: largest difference ${found!.difference}, effect ${found!.effect}\n`);
    return found!;
  }

  it("has the logits of base + adapter in float32, in several files", async () => {
    const found = await compareOwn("f32", { tied: true, targets: ["all-linear"], maxShardBytes: 50_000 });
    expect(found).toMatchObject({ missing: [], unexpected: [], tied: true });
    expect(found.difference).toBeLessThanOrEqual(1e-5);
    expect(found.effect).toBeGreaterThan(0.1);
  });

  it("has them within bfloat16's precision when it is written and computed as bfloat16", async () => {
    const found = await compareOwn("bf16", { tied: false, targets: ["q_proj", "v_proj"], dtype: "BF16" });
    expect(found).toMatchObject({ missing: [], unexpected: [], tied: false });
    expect(found.difference).toBeLessThanOrEqual(1e-2);
    expect(found.effect).toBeGreaterThan(0.02);
  });

  it("has a head of its own where the adapter changes a head that shares the embedding's weight", async () => {
    const found = await compareOwn("head", { tied: true, targets: ["lm_head", "o_proj"] });
    expect(found).toMatchObject({ missing: [], unexpected: [], tied: false });
    expect(found.difference).toBeLessThanOrEqual(1e-5);
  });

  it("has them for every architecture that can be trained", async () => {
    const batch = { inputIds: [[1, 2]], labels: [[1, 2]], attentionMask: [[1, 1]] };
    const input = modelCases.map((one) => ({ ...one, batch, steps: 0, learningRate: 0 }));
    python3("models_reference.py", input, "make", directory);
    const cases: Case[] = [];
    const mergeable = modelCases.filter(({ config, lora }) => !(lora.use_dora && config.model_type === "gpt2"));
    for (const { name } of mergeable) {
      const [base, adapter, merged] = ["model", "adapter", "merged"].map((kind) => join(directory, name, kind));
      await merge(base!, adapter!, merged!);
      cases.push({ base: base!, adapter: adapter!, merged: merged!, dtype: "float32" });
    }
    for (const [index, found] of compare(cases).entries()) {
      const { dtype, name } = mergeable[index]!;
      process.stdout.write(`${name}: ${found.difference} of ${found.magnitude}\n`);
      expect(found, name).toMatchObject({ missing: [], unexpected: [] });
      const tolerance = dtype === undefined ? 1e-5 : 1e-2;
      expect(found.difference / Math.max(1, found.magnitude), name).toBeLessThanOrEqual(tolerance);
      expect(found.effect, name).toBeGreaterThan(10 * tolerance);
    }
  });

  it("is refused of DoRA on GPT-2's transposed weights", async () => {
    const path = (kind: string) => join(directory, "gpt2-dora", kind);
    await expect(merge(path("model"), path("adapter"), path("merged"))).rejects.toThrow("DoRA on a transposed weight");
  });
});
