import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adapterConfigOf } from "../../shared/checkpoint/adapterConfig.ts";
import { exportAdapter } from "../../shared/checkpoint/exportAdapter.ts";
import { loadAdapter } from "../../shared/checkpoint/loadAdapter.ts";
import { listPatterns } from "../../shared/checkpoint/loraScaling.ts";
import { runConfigSchema } from "../../shared/config/schema.ts";
import { elementCount, type ParamLayout } from "../../shared/tensors/layout.ts";
import type { Batch, Engine } from "../../worker/engine/engine.ts";
import { openOnnxEngine } from "../../worker/engine/onnx/openOnnxEngine.ts";
import { loraOf } from "../../worker/model/trainable.ts";
import { adamWStep } from "../../worker/train/optimizer.ts";
import { logitsOf } from "../support/logits.ts";
import { randomBatch, relativeDifference } from "../support/tinyModel.ts";
import { type ModelCase, modelCases } from "./modelCases.ts";

/** Python with `torch`, `transformers` and `peft`: pip install torch transformers peft. */
const python = process.env["COORD_PYTHON"] ?? "python3";
const available = (() => {
  try {
    execFileSync(python, ["-c", "import torch, transformers, peft"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

interface Reference {
  readonly loss: number;
  readonly tokens: number;
  /** [batch, sequence, vocabulary] */
  readonly logits: readonly number[];
  readonly gradients: Readonly<Record<string, readonly number[]>>;
  readonly losses: readonly number[];
  /** What PEFT starts those trained tensors from that are not random or zero. */
  readonly starts: Readonly<Record<string, readonly number[]>>;
}

const tolerance = 1e-4;
const steps = 20;
const learningRate = 1e-2;
const lengths = [9, 6];
const batch = randomBatch(lengths);

describe.skipIf(!available)(`a model saved by transformers (skipped where ${python} has no torch or peft)`, () => {
  let directory: string;
  const references = new Map<string, Reference>();
  const trainedLogits = new Map<string, Float32Array>();
  const reference = (what: "make" | "load", cases: readonly object[]): unknown => {
    const script = fileURLToPath(new URL("models_reference.py", import.meta.url));
    const output = execFileSync(python, [script, what, directory], {
      input: JSON.stringify(cases),
      encoding: "utf8",
      maxBuffer: 2 ** 28,
      stdio: "pipe",
      env: { ...process.env, HF_HUB_OFFLINE: "1" },
    });
    return JSON.parse(output);
  };

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "coord-models-"));
    const input = modelCases.map((one) => ({ ...one, batch: nested(batch), steps, learningRate }));
    const results = reference("make", input) as Reference[];
    for (const [index, { name }] of modelCases.entries()) references.set(name, results[index]!);
  }, 300_000);

  afterAll(() => rm(directory, { recursive: true, force: true }));

  for (const { name, lora } of modelCases) {
    it(`gives transformers' logits, PEFT's gradients and a PEFT loop's losses: ${name}`, async () => {
      const expected = references.get(name)!;
      const config = runConfigOf(lora);
      const trainable = loraOf(config);
      const modelDirectory = join(directory, name, "model");
      const engine = await openOnnxEngine(modelDirectory, trainable, 1);
      try {
        const adapter = await loadAdapter(join(directory, name, "adapter"));
        expect(adapter.config).toMatchObject(extrasOf(lora));
        const parameters = flatten(adapter, engine.layout);
        const start = await engine.initialParameters(1);
        await engine.setParameters(parameters);

        const logits = await logitsOf(modelDirectory, trainable, parameters, batch);
        expect(largestDifference(logits, labelRows(expected.logits))).toBeLessThan(tolerance);

        const gradient = new Float32Array(engine.layout.elements);
        const loss = await engine.forwardBackward(batch, gradient);
        expect(loss.tokens).toBe(expected.tokens);
        expect(Math.abs(loss.sum - expected.loss) / expected.tokens).toBeLessThan(tolerance);
        expect(engine.layout.tensors.map((tensor) => tensor.name).sort()).toEqual(
          Object.keys(expected.gradients).sort(),
        );
        expect(Object.keys(expected.gradients)).toEqual(expect.arrayContaining(Object.keys(expected.starts)));
        for (const { name: tensor, offset, shape } of engine.layout.tensors) {
          const own = gradient.subarray(offset, offset + elementCount(shape));
          const begun = expected.starts[tensor];
          if (begun) expect(largestDifference(start.subarray(offset, offset + own.length), begun)).toBeLessThan(1e-6);
          expect(relativeDifference(own, expected.gradients[tensor]!), tensor).toBeLessThan(tolerance);
        }

        const { losses, state } = await train(engine, parameters);
        expect(largestDifference(losses, expected.losses)).toBeLessThan(tolerance);
        expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.1);

        await mkdir(join(directory, name, "trained"));
        const adapterConfig = adapterConfigOf(config, modelDirectory, engine.layout);
        await exportAdapter(join(directory, name, "trained"), state, adapterConfig);
        trainedLogits.set(name, await logitsOf(modelDirectory, trainable, state.parameters, batch));
      } finally {
        await engine.dispose();
      }
    });
  }

  it("gives the same logits in PEFT with the adapter that was trained here", () => {
    const cases = modelCases.map(({ name }) => ({ name, batch: nested(batch) }));
    const logits = reference("load", cases) as (readonly number[])[];
    expect([...trainedLogits.keys()]).toEqual(modelCases.map(({ name }) => name));
    for (const [index, { name }] of modelCases.entries()) {
      const difference = largestDifference(trainedLogits.get(name)!, labelRows(logits[index]!));
      expect(difference, name).toBeLessThan(tolerance);
    }
  });
});

function extrasOf({ bias = "none", modules_to_save, use_dora }: ModelCase["lora"]) {
  return {
    ...(use_dora ? { use_dora } : {}),
    ...(bias !== "none" ? { bias } : {}),
    ...(modules_to_save ? { modules_to_save } : {}),
  };
}

/** The run's settings for what PEFT calls these. */
function runConfigOf(lora: ModelCase["lora"]) {
  const { alpha_pattern, lora_alpha, r, rank_pattern, target_modules, use_rslora = false } = lora;
  const { bias = "none", modules_to_save = [], use_dora = false } = lora;
  return runConfigSchema.parse({
    loraR: r,
    loraAlpha: lora_alpha,
    targetModules: typeof target_modules === "string" ? [target_modules] : target_modules,
    useRslora: use_rslora,
    useDora: use_dora,
    bias,
    modulesToSave: modules_to_save,
    rankPattern: listPatterns(rank_pattern),
    alphaPattern: listPatterns(alpha_pattern),
  });
}

/** The state after AdamW steps on one batch, and the mean loss of each. */
async function train(engine: Engine, start: Float32Array) {
  const vector = () => new Float32Array(start.length);
  const zeros = { firstMoment: vector(), secondMoment: vector() };
  const state = { layout: engine.layout, step: steps, parameters: start.slice(), ...zeros };
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    await engine.setParameters(state.parameters);
    const gradient = vector();
    const { sum, tokens } = await engine.forwardBackward(batch, gradient, {});
    losses.push(sum / tokens);
    const options = { learningRate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, startStep: 0 };
    adamWStep({ ...state, step }, state, gradient, 1 / tokens, options);
  }
  return { losses, state };
}

function flatten({ tensors }: Awaited<ReturnType<typeof loadAdapter>>, layout: ParamLayout): Float32Array {
  const flat = new Float32Array(layout.elements);
  for (const { name, offset } of layout.tensors) flat.set(tensors.get(name)!.data, offset);
  return flat;
}

/** The logits [batch, sequence, vocabulary] of the tokens that predict a label. */
function labelRows(logits: readonly number[]): number[] {
  const vocabulary = logits.length / batch.inputIds.length;
  const rows = Array.from(batch.inputIds.keys()).filter(
    (at) => (at + 1) % batch.sequence !== 0 && batch.labels[at + 1]! >= 0,
  );
  return rows.flatMap((row) => logits.slice(row * vocabulary, (row + 1) * vocabulary));
}

function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  return Array.from(expected).reduce((worst, value, at) => Math.max(worst, Math.abs(actual[at]! - value)), 0);
}

function nested({ sequence, inputIds, labels }: Batch) {
  const rows = (values: ArrayLike<number>) =>
    lengths.map((_, row) => Array.from(values).slice(row * sequence, (row + 1) * sequence));
  const attentionMask = lengths.map((length) => Array.from({ length: sequence }, (_, at) => (at < length ? 1 : 0)));
  return { inputIds: rows(inputIds), labels: rows(labels), attentionMask };
}
