import { rm } from "node:fs/promises";
import { afterEach, describe, expect, it } from "vitest";
import type { Batch } from "../../../../../worker/engine/engine.ts";
import { openOnnxEngine } from "../../../../../worker/engine/onnx/openOnnxEngine.ts";
import { collate } from "../../../../../worker/train/collate.ts";
import {
  randomBatch,
  randomParameters,
  randomWeights,
  relativeDifference,
  tinyConfig,
  tinyLora,
  writeModel,
} from "../../../../support/tinyModel.ts";

const cleanUps: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

async function gradientsOf(config: object, batches: readonly Batch[]) {
  const directory = await writeModel(config, randomWeights(config));
  const engine = await openOnnxEngine(directory, { ...tinyLora, targetModules: ["all-linear"] }, 1);
  cleanUps.push(async () => {
    await engine.dispose();
    await rm(directory, { recursive: true });
  });
  await engine.setParameters(randomParameters(engine.layout.elements));
  const results: { gradient: Float32Array; sum: number; tokens: number }[] = [];
  for (const batch of batches) {
    const gradient = new Float32Array(engine.layout.elements);
    results.push({ gradient, ...(await engine.forwardBackward(batch, gradient)) });
  }
  return results;
}

const lengths = [5, 7, 4, 6];
const single = randomBatch(lengths);

/** The rows of `single` as samples, the prompt unlabelled but for the first token, which a model cannot predict. */
const samples = lengths.map((length, row) => {
  const at = row * single.sequence;
  const labelMask = Uint8Array.from(single.labels.subarray(at, at + length), (label) => (label < 0 ? 0 : 1));
  labelMask[0] = 1;
  return { inputIds: Uint32Array.from(single.inputIds.subarray(at, at + length)), labelMask };
});

/** One row of several samples. */
function pack(rows: readonly number[]) {
  const parts = rows.map((row) => samples[row]!);
  return {
    inputIds: Uint32Array.from(parts.flatMap(({ inputIds }) => [...inputIds])),
    labelMask: Uint8Array.from(parts.flatMap(({ labelMask }) => [...labelMask])),
    lengths: parts.map(({ inputIds }) => inputIds.length),
  };
}

const packed = collate([pack([0, 1]), pack([3, 2])]);
const neox = { model_type: "gpt_neox", vocab_size: 37, hidden_size: 32, intermediate_size: 40, num_hidden_layers: 2 };
const architectures: readonly [string, object][] = [
  ["Llama", tinyConfig],
  ["Mistral, whose window slides,", { ...tinyConfig, architectures: ["MistralForCausalLM"], sliding_window: 3 }],
  ["Qwen3", { ...tinyConfig, architectures: ["Qwen3ForCausalLM"] }],
  ["GPT-2", { model_type: "gpt2", vocab_size: 37, n_positions: 8, n_embd: 24, n_layer: 2, n_head: 4 }],
  [
    "OPT",
    {
      model_type: "opt",
      vocab_size: 37,
      hidden_size: 24,
      ffn_dim: 40,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      max_position_embeddings: 8,
    },
  ],
  ["GPT-NeoX", { ...neox, num_attention_heads: 4 }],
];

describe("samples packed into a row", () => {
  it.each(architectures)(
    "of %s have the loss and the gradient that they have in rows of their own",
    async (_, config) => {
      const [apart, together] = await gradientsOf(config, [single, packed]);
      expect(together!.tokens).toBe(apart!.tokens);
      expect(relativeDifference([together!.sum], [apart!.sum])).toBeLessThan(1e-6);
      expect(relativeDifference(together!.gradient, apart!.gradient)).toBeLessThan(1e-5);
    },
  );

  it("would see each other if nobody said where each begins", async () => {
    const { segments: _, ...unmarked } = packed;
    const [apart, together] = await gradientsOf(tinyConfig, [single, unmarked]);
    expect(relativeDifference(together!.gradient, apart!.gradient)).toBeGreaterThan(1e-2);
  });
});
