import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomKey, randomNormal, randomUint32, randomUnit } from "../../shared/rng.ts";
import { elementCount } from "../../shared/tensors/layout.ts";
import { encodeSafetensors } from "../../shared/tensors/safetensors.ts";
import type { Batch } from "../../worker/engine/engine.ts";
import { buildModel } from "../../worker/model/model.ts";
import type { Trainable } from "../../worker/model/trainable.ts";

/** A Llama configuration small enough for thousands of evaluations; grouped-query attention, untied head. */
export const tinyConfig = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 37,
  hidden_size: 24,
  intermediate_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 6,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  tie_word_embeddings: false,
};

export const tinyLora = {
  kind: "lora",
  r: 3,
  alpha: 6,
  dropout: 0,
  targetModules: ["q_proj", "v_proj"],
} as const satisfies Trainable;

export interface NamedTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Random weights for every frozen tensor of a configuration. */
export function randomWeights(config: object, seed = 1): Map<string, NamedTensor> {
  const { frozen } = buildModel(config, "config.json", { ...tinyLora, targetModules: ["all-linear"] });
  const weights = new Map<string, NamedTensor>();
  for (const [name, shape] of frozen) {
    const key = randomKey(seed, name);
    const value = (index: number) =>
      shape.length === 1 ? 0.5 + randomUnit(key, index) : 0.3 * randomNormal(key, index);
    weights.set(name, { shape, data: Float32Array.from({ length: elementCount(shape) }, (_, index) => value(index)) });
  }
  return weights;
}

/** Writes a model directory into a new temporary directory, which the caller removes. */
export async function writeModel(config: object, weights: ReadonlyMap<string, NamedTensor>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "coord-model-"));
  await writeFile(join(directory, "config.json"), JSON.stringify(config));
  const tensors = [...weights].map(([name, tensor]) => ({ name, ...tensor }));
  await writeFile(join(directory, "model.safetensors"), encodeSafetensors(tensors));
  return directory;
}

/** Values for every trainable element, none of them zero: LoRA's B must not start at zero, or A has no gradient. */
export function randomParameters(elements: number, seed = 7): Float32Array {
  const key = randomKey(seed);
  return Float32Array.from({ length: elements }, (_, index) => 0.2 * randomNormal(key, index));
}

/** A batch of random tokens; row r has `lengths[r]` tokens, the first `prompt` of which are no labels. */
export function randomBatch(
  lengths: readonly number[],
  prompt = 2,
  vocabulary = 37,
  sequence = Math.max(...lengths),
): Batch {
  const inputIds = new Int32Array(lengths.length * sequence);
  const labels = new Int32Array(lengths.length * sequence).fill(-100);
  lengths.forEach((length, row) => {
    for (let at = 0; at < length; at++) {
      const id = randomUint32(randomKey(row), at) % vocabulary;
      inputIds[row * sequence + at] = id;
      if (at >= prompt) labels[row * sequence + at] = id;
    }
  });
  return { batch: lengths.length, sequence, inputIds, labels };
}

/** Largest absolute difference over the largest magnitude of `expected`. */
export function relativeDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let magnitude = 0;
  for (let i = 0; i < expected.length; i++) {
    difference = Math.max(difference, Math.abs(actual[i]! - expected[i]!));
    magnitude = Math.max(magnitude, Math.abs(expected[i]!));
  }
  return actual.length === expected.length ? difference / magnitude : Number.POSITIVE_INFINITY;
}
