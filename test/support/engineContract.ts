import { rm } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { elementCount } from "../../shared/tensors/layout.ts";
import type { Batch, DropoutKey, Engine } from "../../worker/engine/engine.ts";
import type { Trainable } from "../../worker/model/trainable.ts";
import { oracle } from "./tfjsLlama.ts";
import {
  type NamedTensor,
  randomBatch,
  randomParameters,
  randomWeights,
  relativeDifference,
  tinyConfig,
  tinyLora,
  writeModel,
} from "./tinyModel.ts";

/** An engine on a device. */
export interface EngineUnderTest {
  readonly name: string;
  /** Why it cannot be tested here; undefined where it can. */
  readonly missing: string | undefined;
  open(modelDirectory: string, trainable: Trainable): Promise<Engine>;
  /** Relative difference that its arithmetic is allowed. */
  readonly tolerance: number;
  /** What the engine holds outside of JavaScript's heap, in bytes, or values it holds, in pieces. */
  held(): number;
  /** How much more than at the start that may be in the end. */
  readonly heldSlack: number;
  /** Steps over which nothing may leak. */
  readonly steps: number;
  /** A step takes so long that only what depends on the device most is tested. */
  readonly slow?: boolean;
  /** Whether its arithmetic keeps what is no number: WebGPU's shaders need not (WGSL, 15.7.2). */
  readonly keepsNaN: boolean;
}

const batch = randomBatch([11, 7, 9]);
const key = { seed: 5, step: 3, slot: 1, microBatch: 0 };
const everywhere = { ...tinyLora, targetModules: ["all-linear"] };

/** What every engine must do on every device. */
export function engineContract(tested: EngineUnderTest): void {
  const { heldSlack, held, keepsNaN, missing, name, open: openOn, slow = false, steps: allSteps, tolerance } = tested;
  const skipped = missing === undefined ? "" : ` (skipped: ${missing})`;
  describe.skipIf(missing !== undefined)(`the ${name} engine${skipped}`, () => {
    let modelDirectory: string;
    const cleanUps: (() => Promise<void>)[] = [];

    beforeAll(async () => {
      modelDirectory = await writeModel(tinyConfig, randomWeights(tinyConfig));
    });
    afterAll(() => rm(modelDirectory, { recursive: true, force: true }));
    afterEach(async () => {
      for (const cleanUp of cleanUps.splice(0)) await cleanUp();
    });

    async function open(trainable: Trainable = tinyLora, from = modelDirectory) {
      const engine = await openOn(from, trainable);
      cleanUps.push(() => engine.dispose());
      const parameters = randomParameters(engine.layout.elements);
      await engine.setParameters(parameters);
      const gradientOf = async (of: Batch, options: { dropout?: DropoutKey } = {}) => {
        const gradient = new Float32Array(engine.layout.elements);
        const loss = await engine.forwardBackward(of, gradient, options);
        return { gradient, loss };
      };
      return { engine, parameters, gradientOf };
    }

    async function openWith(
      config: typeof tinyConfig,
      weights: ReadonlyMap<string, NamedTensor>,
      trainable?: Trainable,
    ) {
      const directory = await writeModel(config, weights);
      cleanUps.push(() => rm(directory, { recursive: true, force: true }));
      return open(trainable, directory);
    }

    const near = (actual: number, expected: number) =>
      expect(relativeDifference([actual], [expected])).toBeLessThan(tolerance);

    it("says what it is, and has PEFT's names and shapes in its layout", async () => {
      const { engine } = await open();
      expect(engine.description).toContain(name.split(" ")[0]);
      expect(engine.layout.tensors.slice(0, 4).map((tensor) => [tensor.name, tensor.shape])).toEqual([
        ["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", [3, 24]],
        ["base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", [24, 3]],
        ["base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight", [3, 24]],
        ["base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight", [12, 3]],
      ]);
    });

    for (const config of [tinyConfig, { ...tinyConfig, tie_word_embeddings: true, num_key_value_heads: 4 }]) {
      const shape = `${config.num_key_value_heads} key heads and a ${config.tie_word_embeddings ? "tied" : "separate"} head`;
      it(`has the loss and gradients of an independent forward pass that TensorFlow.js differentiates: ${shape}`, async () => {
        const weights = randomWeights(config);
        const { engine, gradientOf, parameters } = await openWith(config, weights, everywhere);
        const slices = (flat: Float32Array) =>
          new Map(
            engine.layout.tensors.map(({ name: tensor, offset, shape: sizes }) => [
              tensor,
              { shape: sizes, data: flat.slice(offset, offset + elementCount(sizes)) },
            ]),
          );
        const { gradient, loss } = await gradientOf(batch);
        const expected = await oracle({ config, weights, adapter: slices(parameters), scale: 2, batch });
        near(loss.sum, expected.loss);
        expect(engine.layout.tensors).toHaveLength(2 * 7 * 2);
        for (const [tensor, { data }] of slices(gradient)) {
          expect(relativeDifference(data, expected.gradients.get(tensor)!), tensor).toBeLessThan(tolerance);
        }
      });
    }

    it.skipIf(slow)(
      "has gradients of base weights, embeddings and norms among them, that agree with finite differences",
      async () => {
        const { engine, gradientOf, parameters } = await open({ kind: "full" });
        const { gradient } = await gradientOf(batch);
        const step = 4e-3;
        for (const { name: tensor, offset, shape } of engine.layout.tensors) {
          const direction = new Float32Array(parameters.length);
          direction.set(randomParameters(elementCount(shape), 11), offset);
          const lossAt = async (by: number) => {
            await engine.setParameters(parameters.map((value, i) => value + by * direction[i]!));
            return (await engine.evaluate(batch)).sum;
          };
          const slope = ((await lossAt(step)) - (await lossAt(-step))) / (2 * step);
          const predicted = gradient.reduce((sum, value, i) => sum + value * direction[i]!, 0);
          expect(Math.abs(predicted - slope), `${tensor}: ${predicted} against ${slope}`).toBeLessThan(
            1e-2 * Math.max(1, Math.abs(slope)),
          );
        }
      },
    );

    it("evaluates to the loss that forwardBackward returns, summed over label tokens", async () => {
      const { engine, gradientOf } = await open();
      const { loss } = await gradientOf(batch);
      const evaluated = await engine.evaluate(batch);
      near(evaluated.sum, loss.sum);
      // The first two tokens of each row are no labels.
      expect([loss.tokens, evaluated.tokens]).toEqual([21, 21]);
    });

    it.skipIf(slow)("starts from the base model: with B at zero an adapter changes nothing", async () => {
      const { engine } = await open();
      await engine.setParameters(await engine.initialParameters(1));
      const started = await engine.evaluate(batch);
      await engine.setParameters(new Float32Array(engine.layout.elements));
      near((await engine.evaluate(batch)).sum, started.sum);
    });

    it.skipIf(slow)("takes a copy of its parameters, and gives what they give when they come again", async () => {
      const { engine, gradientOf, parameters } = await open();
      const before = await gradientOf(batch);
      const mine = randomParameters(engine.layout.elements, 3);
      await engine.setParameters(mine);
      const other = await gradientOf(batch);
      mine.fill(0);
      expect(await gradientOf(batch)).toEqual(other);
      expect(other.loss.sum).not.toBe(before.loss.sum);
      await engine.setParameters(parameters);
      expect(await gradientOf(batch)).toEqual(before);
      await expect(engine.setParameters(new Float32Array(3))).rejects.toMatchObject({ code: "INTERNAL" });
    });

    it("adds to the gradient it is given and says that all of it is final", async () => {
      const { engine, gradientOf } = await open();
      const other = randomBatch([6, 10]);
      const [a, b] = [await gradientOf(batch), await gradientOf(other)];
      const both = new Float32Array(engine.layout.elements);
      const ranges: number[][] = [];
      await engine.forwardBackward(batch, both, {});
      await engine.forwardBackward(other, both, { onGradient: (...range) => ranges.push(range) });
      const sum = a.gradient.map((value, index) => value + b.gradient[index]!);
      expect(relativeDifference(both, sum)).toBeLessThan(1e-6);
      // Ranges may come in pieces and in any order; together they are the whole.
      const inOrder = ranges.sort(([x], [y]) => x! - y!);
      expect(inOrder.at(-1)![1]).toBe(engine.layout.elements);
      inOrder.forEach(([start], index) => {
        expect(start).toBe(index === 0 ? 0 : inOrder[index - 1]![1]);
      });
    });

    it.skipIf(slow)("gives the same loss and gradient however far a batch is padded", async () => {
      const { gradientOf } = await open({ ...tinyLora, dropout: 0.2 });
      const short = await gradientOf(batch, { dropout: key });
      const padded = await gradientOf(randomBatch([11, 7, 9], 2, 37, 16), { dropout: key });
      expect(padded.loss.tokens).toBe(short.loss.tokens);
      near(padded.loss.sum, short.loss.sum);
      expect(relativeDifference(padded.gradient, short.gradient)).toBeLessThan(tolerance);
    });

    it.skipIf(slow)("gives the sum over rows, whichever batch they are in", async () => {
      const { gradientOf } = await open();
      const whole = await gradientOf(batch);
      const row = (values: Int32Array, at: number) => values.slice(at * batch.sequence, (at + 1) * batch.sequence);
      const sum = new Float32Array(whole.gradient.length);
      let loss = 0;
      for (let at = 0; at < batch.batch; at++) {
        const { sequence, inputIds, labels } = batch;
        const part = await gradientOf({ batch: 1, sequence, inputIds: row(inputIds, at), labels: row(labels, at) });
        part.gradient.forEach((value, index) => {
          sum[index]! += value;
        });
        loss += part.loss.sum;
      }
      expect(relativeDifference(sum, whole.gradient)).toBeLessThan(tolerance);
      near(loss, whole.loss.sum);
    });

    it("takes no label from padding or from the first token of a row, and nothing from a batch without labels", async () => {
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

    it("draws dropout from the key alone, whichever call or engine it is in, and none for evaluation", async () => {
      const { engine, gradientOf } = await open({ ...tinyLora, dropout: 0.5 });
      const dropped = await gradientOf(batch, { dropout: key });
      const plain = await gradientOf(batch);
      expect(await gradientOf(batch, { dropout: key })).toEqual(dropped);
      for (const change of [{ seed: 6 }, { step: 4 }, { slot: 0 }, { microBatch: 1 }]) {
        expect((await gradientOf(batch, { dropout: { ...key, ...change } })).loss.sum).not.toBe(dropped.loss.sum);
      }
      near((await engine.evaluate(batch)).sum, plain.loss.sum);
      expect(dropped.loss.sum).not.toBe(plain.loss.sum);
      const second = await open({ ...tinyLora, dropout: 0.5 });
      expect(await second.gradientOf(batch, { dropout: key })).toEqual(dropped);
    });

    it("refuses token ids outside the vocabulary, and goes on", async () => {
      const { engine } = await open();
      const wrong = { ...batch, inputIds: batch.inputIds.map((id, at) => (at === 3 ? 37 : id)) };
      await expect(engine.evaluate(wrong)).rejects.toMatchObject({
        code: "MODEL_INVALID",
        message: expect.stringContaining("token id 37, but the model's vocabulary has 37 entries"),
      });
      expect((await engine.evaluate(batch)).tokens).toBe(21);
    });

    const noNaN = keepsNaN ? "" : " (skipped: its shaders may drop what is no number)";
    it.skipIf(!keepsNaN)(`names the first layer whose output is no number${noNaN}`, async () => {
      const { engine, parameters } = await open();
      const broken = parameters.slice();
      broken[engine.layout.tensors.find((tensor) => /layers\.1.*q_proj\.lora_A/.test(tensor.name))!.offset] =
        Number.NaN;
      await engine.setParameters(broken);
      expect((await engine.evaluate(batch)).sum).toBeNaN();
      expect((await engine.forwardBackward(batch, new Float32Array(parameters.length), {})).sum).toBeNaN();
      expect(await engine.firstNotFinite(batch)).toMatch(/^model\.layers\.1(\.self_attn\.q_proj)?$/);
      await engine.setParameters(parameters);
      expect(await engine.firstNotFinite(batch)).toBeUndefined();
      expect((await engine.evaluate(batch)).sum).toBeGreaterThan(0);

      const weights = randomWeights(tinyConfig);
      weights.get("model.layers.0.mlp.up_proj.weight")!.data[5] = Number.POSITIVE_INFINITY;
      const second = await openWith(tinyConfig, weights);
      expect(Number.isFinite((await second.gradientOf(batch)).loss.sum)).toBe(false);
      expect(await second.engine.firstNotFinite(batch)).toMatch(/^model\.layers\.0(\.mlp\.up_proj)?$/);
    });

    const fewSteps = allSteps / 10;
    it.skipIf(slow)(
      `holds no more after ${allSteps} steps than after ${fewSteps}, and nothing once it is disposed of`,
      async () => {
        // Where bytes are counted, not values, gradients of half a megabyte per step: what is kept of them shows.
        const vocabulary = heldSlack === 0 ? 64 : 2048;
        const config = { ...tinyConfig, vocab_size: vocabulary, hidden_size: 32, head_dim: 8, num_hidden_layers: 1 };
        const directory = await writeModel(config, randomWeights(config));
        const start = held();
        const engine = await openOn(directory, { kind: "full" });
        const parameters = await engine.initialParameters(1);
        const gradient = new Float32Array(parameters.length);
        const small = randomBatch([6, 5], 2, vocabulary);
        const steps = async (count: number) => {
          for (let step = 0; step < count; step++) {
            await engine.setParameters(parameters);
            await engine.forwardBackward(small, gradient, {});
          }
          await engine.evaluate(small);
          return held();
        };
        const early = await steps(fewSteps);
        const late = await steps(allSteps - fewSteps);
        expect(late - early).toBeLessThanOrEqual(heldSlack);
        await engine.dispose();
        expect(held() - start).toBeLessThanOrEqual(heldSlack);
        await rm(directory, { recursive: true });
      },
    );
  });
}
