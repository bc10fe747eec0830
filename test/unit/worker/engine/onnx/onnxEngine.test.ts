import { rm } from "node:fs/promises";
import { afterEach, describe, expect, it } from "vitest";
import { elementCount } from "../../../../../shared/tensors/layout.ts";
import type { Batch, DropoutKey } from "../../../../../worker/engine/engine.ts";
import { openOnnxEngine } from "../../../../../worker/engine/onnx/openOnnxEngine.ts";
import type { Trainable } from "../../../../../worker/model/trainable.ts";
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

async function open({ config = tinyConfig, trainable = tinyLora as Trainable, threads = 1 } = {}) {
  const directory = await writeModel(config, randomWeights(config));
  const engine = await openOnnxEngine(directory, trainable, threads);
  cleanUps.push(async () => {
    await engine.dispose();
    await rm(directory, { recursive: true });
  });
  const parameters = randomParameters(engine.layout.elements);
  await engine.setParameters(parameters);
  const gradientOf = async (of: Batch, options: { dropout?: DropoutKey } = {}) => {
    const gradient = new Float32Array(engine.layout.elements);
    const loss = await engine.forwardBackward(of, gradient, options);
    return { gradient, loss };
  };
  return { engine, parameters, gradientOf };
}

/** Compares the slope of the loss along a random direction of each tensor with what the gradient predicts. */
async function checkSlopes({ engine, gradientOf, parameters }: Awaited<ReturnType<typeof open>>) {
  const { gradient } = await gradientOf(batch);
  const step = 4e-3;
  for (const { name, offset, shape } of engine.layout.tensors) {
    const direction = new Float32Array(parameters.length);
    direction.set(randomParameters(elementCount(shape), 11), offset);
    const lossAt = async (by: number) => {
      await engine.setParameters(parameters.map((value, i) => value + by * direction[i]!));
      return (await engine.evaluate(batch)).sum;
    };
    const slope = ((await lossAt(step)) - (await lossAt(-step))) / (2 * step);
    const predicted = gradient.reduce((sum, value, i) => sum + value * direction[i]!, 0);
    expect(Math.abs(predicted - slope), `${name}: ${predicted} against ${slope}`).toBeLessThan(
      5e-3 * Math.max(1, Math.abs(slope)),
    );
  }
}

const batch = randomBatch([11, 7, 9]);
const key = { seed: 5, step: 3, slot: 1, microBatch: 0 };

describe("the onnx engine", () => {
  it("has PEFT's names and shapes in its layout", async () => {
    const { engine } = await open();
    const first = engine.layout.tensors.slice(0, 4).map(({ name, shape }) => [name, shape]);
    expect(first).toEqual([
      ["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", [3, 24]],
      ["base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", [24, 3]],
      ["base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight", [3, 24]],
      ["base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight", [12, 3]],
    ]);
    expect(engine.layout.elements).toBe(2 * (72 + 72 + 72 + 36));
  });

  it("has gradients that agree with central finite differences of its own loss", async () => {
    await checkSlopes(await open({ trainable: { ...tinyLora, targetModules: ["all-linear"] } }));
  });

  it("trains base weights themselves, embeddings and norms among them, tied or not", async () => {
    for (const tied of [false, true]) {
      const config = { ...tinyConfig, tie_word_embeddings: tied };
      const opened = await open({ config, trainable: { kind: "full" } });
      const names = opened.engine.layout.tensors.map(({ name }) => name);
      expect(names).toContain("model.embed_tokens.weight");
      expect(names.includes("lm_head.weight")).toBe(!tied);
      await checkSlopes(opened);
    }
  });

  it("evaluates to the loss that forwardBackward returns, summed over label tokens", async () => {
    const { engine, gradientOf } = await open();
    const { loss } = await gradientOf(batch);
    const evaluated = await engine.evaluate(batch);
    expect(evaluated.sum).toBeCloseTo(loss.sum, 4);
    // The first two tokens of each row are no labels.
    expect(evaluated.tokens).toBe(9 + 5 + 7);
    expect(loss.tokens).toBe(evaluated.tokens);
  });

  it("starts from the base model: with B at zero an adapter changes nothing", async () => {
    const { engine } = await open();
    await engine.setParameters(await engine.initialParameters(1));
    const started = await engine.evaluate(batch);
    await engine.setParameters(new Float32Array(engine.layout.elements));
    expect(await engine.evaluate(batch)).toEqual(started);
  });

  it("adds to the gradient it is given and says that all of it is final", async () => {
    const { engine, gradientOf } = await open();
    const other = randomBatch([6, 10]);
    const [a, b] = [await gradientOf(batch), await gradientOf(other)];
    const both = new Float32Array(engine.layout.elements);
    const ranges: number[][] = [];
    await engine.forwardBackward(batch, both);
    await engine.forwardBackward(other, both, { onGradient: (...range) => ranges.push(range) });
    expect(both).toEqual(a.gradient.map((value, index) => value + b.gradient[index]!));
    expect(ranges).toEqual([[0, engine.layout.elements]]);
  });

  it("gives the same loss and gradient however far a batch is padded", async () => {
    const { gradientOf } = await open({ trainable: { ...tinyLora, dropout: 0.2 } });
    const short = await gradientOf(batch, { dropout: key });
    const padded = await gradientOf(randomBatch([11, 7, 9], 2, 37, 16), { dropout: key });
    expect(padded.loss.tokens).toBe(short.loss.tokens);
    expect(padded.loss.sum).toBeCloseTo(short.loss.sum, 4);
    expect(relativeDifference(padded.gradient, short.gradient)).toBeLessThan(1e-5);
  });

  it("gives the sum over rows, whichever batch they are in", async () => {
    const { gradientOf } = await open();
    const whole = await gradientOf(batch);
    const rows = [0, 1, 2].map((row) => ({
      batch: 1,
      sequence: batch.sequence,
      inputIds: batch.inputIds.slice(row * batch.sequence, (row + 1) * batch.sequence),
      labels: batch.labels.slice(row * batch.sequence, (row + 1) * batch.sequence),
    }));
    const parts: Awaited<ReturnType<typeof gradientOf>>[] = [];
    for (const row of rows) parts.push(await gradientOf(row));
    const sum = whole.gradient.map((_, index) => parts.reduce((total, part) => total + part.gradient[index]!, 0));
    expect(relativeDifference(sum, whole.gradient)).toBeLessThan(1e-5);
    expect(parts.reduce((total, part) => total + part.loss.sum, 0)).toBeCloseTo(whole.loss.sum, 3);
  });

  it("takes no label from padding or from the first token of a row, and nothing at all from a batch without labels", async () => {
    const { engine, gradientOf } = await open();
    const labels = batch.labels.map((label, at) => (at % batch.sequence === 0 ? batch.inputIds[at]! : label));
    expect(await gradientOf({ ...batch, labels })).toEqual(await gradientOf(batch));
    const none = { ...batch, labels: new Int32Array(batch.labels.length).fill(-100) };
    expect(await gradientOf(none)).toEqual({
      gradient: new Float32Array(engine.layout.elements),
      loss: { sum: 0, tokens: 0 },
    });
    expect(await engine.evaluate(none)).toEqual({ sum: 0, tokens: 0 });
  });

  it("gives the same bytes at every call, in every session and with any number of threads", async () => {
    // Large enough that onnxruntime splits the work among its threads.
    const config = { ...tinyConfig, hidden_size: 96, intermediate_size: 256, vocab_size: 512, head_dim: 24 };
    const large = randomBatch([60, 64, 50, 64], 3, 512);
    const trainable = { ...tinyLora, dropout: 0.1, targetModules: ["all-linear"] };
    const first = await open({ config, trainable });
    const expected = await first.gradientOf(large, { dropout: key });
    expect(await first.gradientOf(large, { dropout: key })).toEqual(expected);
    for (const threads of [1, 2]) {
      const again = await open({ config, trainable, threads });
      expect(await again.gradientOf(large, { dropout: key })).toEqual(expected);
    }
  });

  it("draws dropout from the key alone, and none for evaluation", async () => {
    const { engine, gradientOf } = await open({ trainable: { ...tinyLora, dropout: 0.5 } });
    const dropped = await gradientOf(batch, { dropout: key });
    const plain = await gradientOf(batch);
    expect(await gradientOf(batch, { dropout: key })).toEqual(dropped);
    for (const change of [{ seed: 6 }, { step: 4 }, { slot: 0 }, { microBatch: 1 }]) {
      expect((await gradientOf(batch, { dropout: { ...key, ...change } })).loss.sum).not.toBe(dropped.loss.sum);
    }
    expect((await engine.evaluate(batch)).sum).toBeCloseTo(plain.loss.sum, 4);
    expect(dropped.loss.sum).not.toBe(plain.loss.sum);
  });

  it("refuses token ids outside the vocabulary", async () => {
    const { engine } = await open();
    const wrong = { ...batch, inputIds: batch.inputIds.map((id, at) => (at === 3 ? 37 : id)) };
    await expect(engine.evaluate(wrong)).rejects.toMatchObject({
      code: "MODEL_INVALID",
      message: expect.stringContaining("token id 37, but the model's vocabulary has 37 entries"),
    });
  });
});
