import { rm } from "node:fs/promises";
import { afterEach, describe, expect, it } from "vitest";
import { elementCount } from "../../../../../shared/tensors/layout.ts";
import type { Batch, Engine } from "../../../../../worker/engine/engine.ts";
import { openOnnxEngine } from "../../../../../worker/engine/onnx/openOnnxEngine.ts";
import { batchInputs, dropoutMask, positionTables } from "../../../../../worker/model/batchInputs.ts";
import { buildModel } from "../../../../../worker/model/model.ts";
import { oracle } from "../../../../support/tfjsLlama.ts";
import {
  type NamedTensor,
  randomBatch,
  randomParameters,
  randomWeights,
  relativeDifference,
  tinyConfig,
  tinyLora,
  writeModel,
} from "../../../../support/tinyModel.ts";

const tolerance = 1e-5;
const cleanUps: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

async function open(config: object, trainable: Parameters<typeof openOnnxEngine>[1], weights = randomWeights(config)) {
  const directory = await writeModel(config, weights);
  const engine = await openOnnxEngine(directory, trainable, 1);
  cleanUps.push(async () => {
    await engine.dispose();
    await rm(directory, { recursive: true });
  });
  const parameters = randomParameters(engine.layout.elements);
  await engine.setParameters(parameters);
  return { engine, weights, parameters };
}

function adapterOf(engine: Engine, flat: Float32Array): Map<string, NamedTensor> {
  return new Map(
    engine.layout.tensors.map(({ name, shape, offset }) => [
      name,
      { shape, data: flat.slice(offset, offset + elementCount(shape)) },
    ]),
  );
}

/** Largest relative difference over the loss and each tensor's gradient. */
async function compare(
  config: typeof tinyConfig,
  trainable: Parameters<typeof openOnnxEngine>[1],
  batch: Batch,
): Promise<{ worst: number; tensors: number }> {
  const { engine, weights, parameters } = await open(config, trainable);
  const gradient = new Float32Array(engine.layout.elements);
  const loss = await engine.forwardBackward(batch, gradient);
  const expected = await oracle({ config, weights, adapter: adapterOf(engine, parameters), scale: 2, batch });
  const differences = [relativeDifference([loss.sum], [expected.loss])];
  for (const [name, { data }] of adapterOf(engine, gradient)) {
    differences.push(relativeDifference(data, expected.gradients.get(name)!));
  }
  return { worst: Math.max(...differences), tensors: differences.length - 1 };
}

describe("the onnx engine against TensorFlow.js's own differentiation of an independent forward pass", () => {
  const batch = randomBatch([11, 7, 9]);

  it("agrees on loss and gradients with grouped-query attention and an untied head", async () => {
    const { worst, tensors } = await compare(tinyConfig, tinyLora, batch);
    expect(tensors).toBe(8);
    expect(worst).toBeLessThanOrEqual(tolerance);
  });

  it("agrees with a tied head and with as many key heads as query heads", async () => {
    const config = { ...tinyConfig, tie_word_embeddings: true, num_key_value_heads: 4 };
    expect((await compare(config, tinyLora, batch)).worst).toBeLessThanOrEqual(tolerance);
  });

  it("agrees with adapters on every linear module", async () => {
    const { worst, tensors } = await compare(tinyConfig, { ...tinyLora, targetModules: ["all-linear"] }, batch);
    expect(tensors).toBe(2 * 7 * 2);
    expect(worst).toBeLessThanOrEqual(tolerance);
  });

  it("agrees with adapters on the head and on one module of one layer", async () => {
    const targetModules = ["lm_head", "layers.1.mlp.up_proj"];
    const { worst, tensors } = await compare(tinyConfig, { ...tinyLora, targetModules }, batch);
    expect(tensors).toBe(4);
    expect(worst).toBeLessThanOrEqual(tolerance);
  });

  it("agrees with one head for all queries and a head size that is not hidden size over heads", async () => {
    const config = { ...tinyConfig, num_key_value_heads: 1, head_dim: 10 };
    expect((await compare(config, tinyLora, batch)).worst).toBeLessThanOrEqual(tolerance);
  });

  it("agrees under dropout when the oracle is given the same masks", async () => {
    const trainable = { ...tinyLora, dropout: 0.3, targetModules: ["all-linear", "lm_head"] };
    const { engine, weights, parameters } = await open(tinyConfig, trainable);
    const model = buildModel(tinyConfig, "config.json", trainable);
    const key = { seed: 5, step: 3, slot: 1, microBatch: 0 };
    const inputs = batchInputs(model, batch, positionTables(model, batch.sequence));
    const masks = new Map<string, Float32Array>();
    for (const mask of model.masks) {
      // The oracle's head works on all tokens, so its mask is that of all rows.
      masks.set(mask.module, dropoutMask({ ...mask, rows: "T" }, 0.3, inputs, key).data as Float32Array);
    }
    const gradient = new Float32Array(engine.layout.elements);
    const loss = await engine.forwardBackward(batch, gradient, { dropout: key });
    const adapter = adapterOf(engine, parameters);
    const expected = await oracle({ config: tinyConfig, weights, adapter, scale: 2, batch, masks });
    expect(relativeDifference([loss.sum], [expected.loss])).toBeLessThanOrEqual(tolerance);
    for (const [name, { data }] of adapterOf(engine, gradient)) {
      expect(relativeDifference(data, expected.gradients.get(name)!), name).toBeLessThanOrEqual(tolerance);
    }
  });
});
