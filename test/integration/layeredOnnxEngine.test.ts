import { rm } from "node:fs/promises";
import { afterEach, describe, expect, it } from "vitest";
import type { Engine } from "../../worker/engine/engine.ts";
import { LayeredOnnxEngine } from "../../worker/engine/onnx/layeredOnnxEngine.ts";
import { openOnnxEngine } from "../../worker/engine/onnx/openOnnxEngine.ts";
import { buildModel } from "../../worker/model/model.ts";
import { quantizeInt8 } from "../../worker/model/quantized/int8.ts";
import { quantizeNf4 } from "../../worker/model/quantized/nf4.ts";
import type { WeightStorage } from "../../worker/model/segmentWeights.ts";
import type { Trainable } from "../../worker/model/trainable.ts";
import { openWeights } from "../../worker/model/weights.ts";
import {
  type NamedTensor,
  randomBatch,
  randomParameters,
  randomWeights,
  relativeDifference,
  tinyConfig,
  tinyLora,
  writeModel,
} from "../support/tinyModel.ts";

const cleanUps: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

async function directoryOf(config: object, weights: ReadonlyMap<string, NamedTensor> = randomWeights(config)) {
  const directory = await writeModel(config, weights);
  cleanUps.push(() => rm(directory, { recursive: true }));
  return directory;
}

async function whole(directory: string, trainable: Trainable) {
  return ready(await openOnnxEngine(directory, trainable, 1));
}

async function layered(config: object, directory: string, trainable: Trainable, storage: WeightStorage = "file") {
  const model = buildModel(config, "config.json", trainable);
  const weights = await openWeights(directory, model.frozen);
  return ready(await LayeredOnnxEngine.create(model, weights, { threads: 1, storage }));
}

async function ready(engine: Engine) {
  cleanUps.unshift(() => engine.dispose());
  await engine.setParameters(randomParameters(engine.layout.elements));
  return engine;
}

async function gradientOf(engine: Engine, of = batch, dropout?: typeof key) {
  const gradient = new Float32Array(engine.layout.elements);
  const ranges: [number, number][] = [];
  const loss = await engine.forwardBackward(of, gradient, {
    ...(dropout && { dropout }),
    onGradient: (start, end) => ranges.push([start, end]),
  });
  return { gradient, loss, ranges };
}

const batch = randomBatch([11, 7, 9]);
const key = { seed: 5, step: 3, slot: 1, microBatch: 0 };
const allLinear: Trainable = { ...tinyLora, targetModules: ["all-linear"] };

const gpt2 = { model_type: "gpt2", vocab_size: 37, n_positions: 16, n_embd: 24, n_layer: 3, n_head: 4 };
const opt = {
  model_type: "opt",
  vocab_size: 37,
  hidden_size: 24,
  ffn_dim: 40,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  max_position_embeddings: 16,
};
const neox = {
  model_type: "gpt_neox",
  vocab_size: 37,
  hidden_size: 32,
  intermediate_size: 40,
  num_hidden_layers: 3,
  num_attention_heads: 4,
};
const llama = { ...tinyConfig, num_hidden_layers: 3 };
const families: Record<string, object> = {
  Llama: llama,
  "Llama with a tied head": { ...llama, tie_word_embeddings: true },
  "Mistral with a sliding window": { ...llama, architectures: ["MistralForCausalLM"], sliding_window: 4 },
  Qwen2: { ...llama, architectures: ["Qwen2ForCausalLM"] },
  Qwen3: { ...llama, architectures: ["Qwen3ForCausalLM"] },
  "GPT-2": gpt2,
  "GPT-2 that scales attention by layer": { ...gpt2, scale_attn_by_inverse_layer_idx: true },
  OPT: opt,
  "OPT with norms behind and projected embeddings": { ...opt, do_layer_norm_before: false, word_embed_proj_dim: 16 },
  "GPT-NeoX": neox,
};

describe("the layered engine", () => {
  it.each(Object.entries(families))("has the loss and gradients of the whole graph: %s", async (_, config) => {
    const directory = await directoryOf(config);
    const trainable = { ...allLinear, dropout: 0.2 };
    const expected = await gradientOf(await whole(directory, trainable), batch, key);
    const engine = await layered(config, directory, trainable);
    const actual = await gradientOf(engine, batch, key);
    expect(relativeDifference([actual.loss.sum], [expected.loss.sum])).toBeLessThan(1e-6);
    expect(relativeDifference(actual.gradient, expected.gradient)).toBeLessThan(2e-6);
    expect(await gradientOf(engine, batch, key)).toEqual(actual);
  });
});

const adapters: Record<string, [object, Partial<Trainable>]> = {
  DoRA: [llama, { useDora: true }],
  "DoRA of transposed weights": [gpt2, { useDora: true }],
  "trained biases": [opt, { bias: "lora_only" }],
  "an embedding and a head of its own": [llama, { modulesToSave: ["embed_tokens", "lm_head"] }],
  "a head of its own beside a tied embedding": [
    { ...llama, tie_word_embeddings: true },
    { modulesToSave: ["lm_head"] },
  ],
};

describe("the layered engine with adapters that train more than their matrices", () => {
  it.each(Object.entries(adapters))("has the loss and gradients of the whole graph: %s", async (_, [config, more]) => {
    const directory = await directoryOf(config);
    const trainable = { ...allLinear, ...more, dropout: 0.2 } as Trainable;
    const expected = await gradientOf(await whole(directory, trainable), batch, key);
    const actual = await gradientOf(await layered(config, directory, trainable), batch, key);
    expect(relativeDifference([actual.loss.sum], [expected.loss.sum])).toBeLessThan(1e-6);
    expect(relativeDifference(actual.gradient, expected.gradient)).toBeLessThan(2e-6);
  });
});

describe("the layered engine's gradients", () => {
  it("leave in ranges, from the last layer to the first, each once and with its final values", async () => {
    const engine = await layered(llama, await directoryOf(llama), tinyLora);
    const seen = new Float32Array(engine.layout.elements);
    const gradient = new Float32Array(engine.layout.elements);
    const starts: number[] = [];
    await engine.forwardBackward(batch, gradient, {
      onGradient(start, end) {
        starts.push(start);
        seen.set(gradient.subarray(start, end), start);
      },
    });
    expect(seen).toEqual(gradient);
    const layer = engine.layout.elements / 3;
    expect(starts).toEqual([2 * layer, layer, 0]);
  });

  it("cover trained base weights, those that embedding and head share among them", async () => {
    const config = { ...llama, tie_word_embeddings: true };
    const directory = await directoryOf(config);
    const expected = await gradientOf(await whole(directory, { kind: "full" }));
    const { gradient, ranges } = await gradientOf(await layered(config, directory, { kind: "full" }));
    expect(relativeDifference(gradient, expected.gradient)).toBeLessThan(2e-6);
    const covered = ranges.map(([start, end]) => end - start).reduce((total, length) => total + length, 0);
    expect(covered).toBe(gradient.length);
  });

  it("are there for adapters on the head and on one layer alone, below which nothing goes back", async () => {
    const directory = await directoryOf(llama);
    const trainable = { ...tinyLora, targetModules: ["lm_head", "layers.1.mlp.up_proj"] };
    const expected = await gradientOf(await whole(directory, trainable));
    const { gradient } = await gradientOf(await layered(llama, directory, trainable));
    expect(relativeDifference(gradient, expected.gradient)).toBeLessThan(2e-6);
  });

  it("evaluate, and a batch without labels, are as with the whole graph", async () => {
    const directory = await directoryOf(llama);
    const engine = await layered(llama, directory, { ...tinyLora, dropout: 0.5 });
    const other = await whole(directory, { ...tinyLora, dropout: 0.5 });
    const { sum, tokens } = await other.evaluate(batch);
    expect((await engine.evaluate(batch)).tokens).toBe(tokens);
    expect((await engine.evaluate(batch)).sum).toBeCloseTo(sum, 4);
    const none = { ...batch, labels: new Int32Array(batch.labels.length).fill(-100) };
    expect((await gradientOf(engine, none)).loss).toEqual({ sum: 0, tokens: 0 });
    expect((await gradientOf(engine, none)).ranges).toEqual([[0, engine.layout.elements]]);
  });
});

describe("quantized weights", () => {
  it.each(["nf4", "int8"] as const)(
    "give the gradients of the whole graph on the widened values: %s",
    async (storage) => {
      const weights = randomWeights(llama);
      const widened = new Map(
        [...weights].map(([name, { data, shape }]): [string, NamedTensor] => {
          if (!/(self_attn|mlp)\..*_proj\.weight$/.test(name)) return [name, { data, shape }];
          const values = new Float32Array(data.length);
          (storage === "nf4" ? quantizeNf4(data) : quantizeInt8(data, shape[1]!)).widen(values);
          return [name, { shape, data: values }];
        }),
      );
      const expected = await gradientOf(await whole(await directoryOf(llama, widened), allLinear));
      const actual = await gradientOf(await layered(llama, await directoryOf(llama, weights), allLinear, storage));
      const unquantized = await gradientOf(await whole(await directoryOf(llama, weights), allLinear));
      expect(relativeDifference(actual.gradient, expected.gradient)).toBeLessThan(2e-6);
      expect(relativeDifference(actual.gradient, unquantized.gradient)).toBeGreaterThan(1e-4);
    },
  );
});
