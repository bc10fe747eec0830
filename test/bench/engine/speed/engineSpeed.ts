import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { randomKey, randomUint32 } from "../../../../shared/rng.ts";
import { allocatorEnvironment } from "../../../../worker/allocatorEnvironment.ts";
import { buildModel } from "../../../../worker/model/model.ts";
import { matmulOperations } from "../../../../worker/model/programCost.ts";
import { writeLargeModel } from "../../../support/largeModel.ts";
import { llama04b } from "../memoryModels.ts";
import type { SpeedResult, SpeedSettings, StepAnswer } from "./speedCase.ts";
import { StepProcess } from "./stepProcess.ts";

const lora = { r: 8, alpha: 16, targetModules: ["q_proj", "v_proj"] };
const tokens = 256;
const threads = 2;
const shapes = [
  [tokens, llama04b.hidden_size, llama04b.intermediate_size],
  [2048, 2048, 2048],
] as const;

/** Steps before those that count: memory is got, and pages of the model's file are read. */
const warmUps = 2;

const models = [
  { name: "2 layers", config: { ...llama04b, num_hidden_layers: 2 }, pairs: 11 },
  { name: "0.41 B, 24 layers", config: llama04b, pairs: 5 },
];

/** Steps of an engine and of PyTorch with PEFT by turns, on the same model and tokens; undefined without a Python that has both. */
export async function measureEngineSpeed(
  signal: AbortSignal,
  progress: (line: string) => void,
): Promise<SpeedResult[] | undefined> {
  const python = process.env["COORD_PYTHON"] ?? "python3";
  try {
    execFileSync(python, ["-c", "import torch, transformers, peft"], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  const results: SpeedResult[] = [];
  for (const model of models) {
    const directory = await mkdtemp(join(tmpdir(), "coord-bench-speed-"));
    try {
      await writeLargeModel(join(directory, "model"), model.config, "F32");
      results.push(await measure(model, join(directory, "model"), python, signal, progress));
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
  return results;
}

async function measure(
  { config, name, pairs }: (typeof models)[number],
  modelDirectory: string,
  python: string,
  signal: AbortSignal,
  progress: (line: string) => void,
): Promise<SpeedResult> {
  const key = randomKey("bench tokens");
  const inputIds = Array.from({ length: tokens }, (_, at) => randomUint32(key, at) % config.vocab_size);
  const settings: SpeedSettings = { ...lora, modelDirectory, threads, learningRate: 1e-3, inputIds, shapes };
  const script = (file: string) => fileURLToPath(new URL(file, import.meta.url));
  const given = JSON.stringify(settings);
  const env = { ...process.env, HF_HUB_OFFLINE: "1" };
  const own = { ...env, ...allocatorEnvironment(process.env) };
  // Python's file is not compiled: it stays where the sources are.
  const theirScript = script("../../../../../test/bench/engine/speed/peft_process.py");
  const sides = [
    new StepProcess(process.execPath, [script("./speedProcess.js"), given], own, signal),
    new StepProcess(python, [theirScript, given], env, signal),
  ] as const;
  const names = [(await sides[0].next<Name>()).name, (await sides[1].next<Name>()).name] as const;
  const steps: [StepAnswer[], StepAnswer[]] = [[], []];
  for (let pair = 0; pair < warmUps + pairs; pair++) {
    // The one that was second is first next time.
    for (const side of pair % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      steps[side].push(await sides[side].ask<StepAnswer>("step"));
    }
    const [ours, theirs] = [steps[0].at(-1)!, steps[1].at(-1)!];
    progress(
      `${name}: ours ${ours.seconds.toFixed(3)} s, theirs ${theirs.seconds.toFixed(3)} s, losses ${ours.loss.toFixed(5)} ${theirs.loss.toFixed(5)}`,
    );
  }
  const rates = [await sides[0].ask<Rates>("rate"), await sides[1].ask<Rates>("rate")];
  progress(`rates, GFLOP/s: ${rates.map(({ rates }) => rates.map((rate) => (rate / 1e9).toFixed(0))).join(" | ")}`);
  await Promise.all(sides.map((side) => side.end()));
  const { training } = buildModel(config, "config.json", { kind: "lora", dropout: 0, ...lora });
  const sizes = { B: 1, S: tokens, T: tokens, L: tokens - 1 };
  const [ours, theirs] = steps.map((answers) => answers.slice(warmUps)) as [StepAnswer[], StepAnswer[]];
  return {
    model: name,
    tokens,
    threads,
    sides: names,
    operations: matmulOperations(training, sizes),
    peakRate: Math.max(...rates.flatMap(({ rates }) => rates)),
    ours,
    theirs,
  };
}

interface Name {
  readonly name: string;
}

interface Rates {
  readonly rates: readonly number[];
}
