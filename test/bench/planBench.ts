import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PlanDocument } from "../../coordinator/plan/planDocument.ts";
import { simulateSteps } from "../../coordinator/plan/simulateSteps.ts";
import { withGeneratedModel, withoutFlags } from "./generatedModel.ts";
import { askIn, measureRunIn, type RunMeasurement } from "./measureRun.ts";
import { formatNumber } from "./statistics.ts";

/** Predictions beside what was measured. */
export interface PlanResults {
  readonly cases: readonly PlanResult[];
  readonly simulations: readonly SimulationResult[];
}

export interface PlanResult {
  readonly name: string;
  /** The run whose speed was carried over. */
  readonly like: string;
  readonly time: Comparison;
  /** Peak of the largest worker process. */
  readonly memory: Comparison;
}

/** Milliseconds per step, or bytes. */
export interface Comparison {
  readonly predicted: number;
  readonly measured: number;
}

export interface SimulationResult {
  readonly name: string;
  readonly time: Comparison;
}

type Flags = Readonly<Record<string, string | number>>;

interface Model {
  readonly name: string;
  readonly args: readonly string[];
  /** Micro-batch of the runs that speed is taken from. */
  readonly batch: number;
  /** Steps of the runs that speed is taken from, and of those that are predicted. */
  readonly steps: { readonly short: number; readonly long: number };
}

/** Each shape is predicted from a run of another one, of the same model and with the same threads for a worker. */
const shapesOf = (batch: number): readonly { readonly like: Flags; readonly predicted: readonly Flags[] }[] => [
  { like: { batch }, predicted: [{ batch: 2 * batch }, { batch, accumulation: 3 }] },
  { like: { gpus: 2, threads: 1, batch }, predicted: [{ nodes: 2, threads: 1, batch, accumulation: 2 }] },
];

/** Cold steps that no figure is taken from. */
const coldSteps = 3;

/**
 * Three shapes of two models, as a user would do it: a short run, `coord plan --like` it for another shape, and that
 * shape's own run. Then the simulation's steps at sizes that this host can run.
 */
export async function measurePlan(signal: AbortSignal, onLine: (line: string) => void): Promise<PlanResults> {
  const demo = { name: "demo", args: ["--eval-split", "0"], batch: 2, steps: { short: 25, long: 60 } };
  const cases = await compare(demo, signal, onLine);
  return withGeneratedModel(async ([generated]) => {
    const args = withoutFlags(generated!.args, ["--max-steps", "--nodes", "--gpus", "--per-device-train-batch-size"]);
    const model = { name: "0.1 B", args, batch: 1, steps: { short: 7, long: 7 } };
    cases.push(...(await compare(model, signal, onLine)));
    return { cases, simulations: await compareSimulations(model, signal, onLine) };
  });
}

async function compare(model: Model, signal: AbortSignal, onLine: (line: string) => void): Promise<PlanResult[]> {
  return withDirectory(async (directory) => {
    const results: PlanResult[] = [];
    for (const { like, predicted } of shapesOf(model.batch)) {
      const short = await measureRunIn(directory, argsOf(model, like, model.steps.short), signal);
      for (const shape of predicted) {
        const args = argsOf(model, shape, model.steps.long);
        const document = await askIn<PlanDocument>(directory, ["plan", "--like", short.runId, ...args]);
        const run = await measureRunIn(directory, args, signal);
        const result = {
          name: describeShape(model, shape),
          like: describeShape(model, like),
          time: { predicted: document.plan.time!.stepSeconds * 1000, measured: meanStepMs(run) },
          memory: { predicted: document.model!.memory.total, measured: run.peakBytes.get("worker")!.largest },
        };
        results.push(result);
        onLine(
          `plan, ${result.name}: ${describe(result.time, 1, "ms")}, ${describe(result.memory, 1 / mebibyte, "MiB")}`,
        );
      }
    }
    return results;
  });
}

const mebibyte = 2 ** 20;

/** From one worker with one thread to two and four: what the simulation makes of it, and what this host does. */
async function compareSimulations(
  model: Model,
  signal: AbortSignal,
  onLine: (line: string) => void,
): Promise<SimulationResult[]> {
  return withDirectory(async (directory) => {
    const one = await measureRunIn(directory, argsOf(model, { threads: 1, batch: 1 }, model.steps.long), signal);
    const computeSeconds = mean(warm(one).map(({ computeMs }) => computeMs)) / 1000;
    const overheadSeconds = mean(warm(one).map(({ computeMs, stepMs }) => stepMs - computeMs)) / 1000;
    const results: SimulationResult[] = [];
    for (const [nodes, gpus] of [
      [1, 2],
      [2, 1],
      [2, 2],
    ] as const) {
      const run = await measureRunIn(
        directory,
        argsOf(model, { nodes, gpus, threads: 1, batch: 1 }, model.steps.long),
        signal,
      );
      // Workers beyond the processors share them.
      const share = Math.max(1, (nodes * gpus) / hostThreads);
      const { stepSeconds } = simulateSteps({
        ...{ nodes: 1, gpus: nodes * gpus, computeSeconds: computeSeconds * share, jitter: 0.05, overheadSeconds },
        ...{ gradientBytes: 0, networkGbps: 10, restartSeconds: 0, steps: 1000, seed: 1 },
      });
      const time = { predicted: stepSeconds * 1000, measured: meanStepMs(run) };
      results.push({ name: `${model.name}, ${nodes} × ${gpus}, batch 1, 1 thread each`, time });
      onLine(`simulation, ${nodes} × ${gpus}: ${describe(time, 1, "ms")}`);
    }
    return results;
  });
}

/** Processors that the shapes above are made for. */
const hostThreads = 2;

function argsOf(model: Model, { accumulation = 1, batch = 1, gpus = 1, nodes = 1, threads }: Flags, steps: number) {
  const numbers: Flags = {
    nodes,
    gpus,
    "per-device-train-batch-size": batch,
    "gradient-accumulation-steps": accumulation,
    "max-steps": steps,
    "save-steps": 0,
    ...(threads === undefined ? {} : { "threads-per-worker": threads }),
  };
  return [...model.args, ...Object.entries(numbers).flatMap(([flag, value]) => [`--${flag}`, String(value)])];
}

function describeShape(model: Model, { accumulation = 1, batch = 1, gpus = 1, nodes = 1 }: Flags): string {
  return `${model.name}, ${nodes} × ${gpus}, batch ${batch}, accumulation ${accumulation}`;
}

/** A plan is for the whole of a run, so the mean counts, long steps included. */
function meanStepMs(run: RunMeasurement): number {
  return mean(warm(run).map(({ stepMs }) => stepMs));
}

function warm({ recorded }: RunMeasurement) {
  return recorded.slice(coldSteps);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

async function withDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "coord-bench-plan-"));
  try {
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true, maxRetries: 10 });
  }
}

function describe({ measured, predicted }: Comparison, scale: number, unit: string): string {
  return `predicted ${formatNumber(predicted * scale)} ${unit}, measured ${formatNumber(measured * scale)} (${difference({ measured, predicted })})`;
}

function difference({ measured, predicted }: Comparison): string {
  const percent = (100 * (predicted - measured)) / measured;
  return `${percent < 0 ? "−" : "+"}${Math.abs(percent).toFixed(1)} %`;
}

/** Tables for a page of results. */
export function renderPlanResults({ cases, simulations }: PlanResults): string[] {
  const cells = (comparison: Comparison, scale: number) =>
    `${formatNumber(comparison.predicted * scale)} | ${formatNumber(comparison.measured * scale)} | ${difference(comparison)}`;
  return [
    "## `coord plan --like` against runs",
    "",
    "Each shape (nodes × workers) is predicted from a short run of another shape, as `coord plan --like RUN` does it, before its",
    "own run. Time: mean over the steps but the first three. Memory: peak (`VmHWM`) of the largest worker.",
    "",
    "| shape | like | step, ms: plan | run | | memory, MiB: plan | run | |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ...cases.map(
      ({ like, memory, name, time }) => `| ${name} | ${like} | ${cells(time, 1)} | ${cells(memory, 1 / mebibyte)} |`,
    ),
    "",
    "## The simulation of `--mtbf-hours` against runs",
    "",
    "Steps simulated from the computing and the remaining time of one worker's steps, at the sizes that this host can run; four",
    "workers share two processors, so that each computes for twice as long.",
    "",
    "| shape | step, ms: simulated | run | |",
    "| --- | ---: | ---: | ---: |",
    ...simulations.map(({ name, time }) => `| ${name} | ${cells(time, 1)} |`),
    "",
  ];
}
