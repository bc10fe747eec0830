import { measureSpeed } from "../../coordinator/plan/measureSpeed.ts";
import { planRun } from "../../coordinator/plan/planRun.ts";
import { simulateSteps } from "../../coordinator/plan/simulateSteps.ts";
import { measureRun, type RunMeasurement } from "./measureRun.ts";
import { median } from "./statistics.ts";

/** A prediction beside what was measured; milliseconds per step. */
export interface PlanResult {
  readonly name: string;
  readonly predictedMs: number;
  readonly simulatedMs: number;
  readonly measuredMs: number;
  /** (predicted − measured) ÷ measured. */
  readonly difference: number;
}

interface PlanCase {
  readonly name: string;
  readonly nodes: number;
  readonly gpus: number;
  readonly microBatch: number;
  readonly accumulation: number;
}

/** Six shapes of the demo: batch, accumulation and number of workers differ. */
const cases: readonly PlanCase[] = [
  { name: "1 × 1, batch 4", nodes: 1, gpus: 1, microBatch: 4, accumulation: 1 },
  { name: "1 × 1, batch 8", nodes: 1, gpus: 1, microBatch: 8, accumulation: 1 },
  { name: "1 × 1, batch 4, accumulation 4", nodes: 1, gpus: 1, microBatch: 4, accumulation: 4 },
  { name: "1 × 2, batch 4", nodes: 1, gpus: 2, microBatch: 4, accumulation: 1 },
  { name: "2 × 1, batch 2, accumulation 2", nodes: 2, gpus: 1, microBatch: 2, accumulation: 2 },
  { name: "2 × 2, batch 4", nodes: 2, gpus: 2, microBatch: 4, accumulation: 1 },
];

/** Steps of the short run that a prediction is made from, and of the one it is held against. */
const [calibrationSteps, measuredSteps] = [15, 60];

/** Predicts the time per step of each shape from a short run, as `coord plan --like` does, and measures a longer one. */
export async function measurePlan(signal: AbortSignal, onLine: (line: string) => void): Promise<PlanResult[]> {
  const results: PlanResult[] = [];
  for (const shape of cases) {
    const short = await measureRun(argsOf(shape, calibrationSteps), signal);
    const prediction = predict(shape, short);
    const long = await measureRun(argsOf(shape, measuredSteps), signal);
    const measuredMs = median(long.recorded.slice(3).map(({ stepMs }) => stepMs));
    const difference = (prediction.predictedMs - measuredMs) / measuredMs;
    results.push({ name: shape.name, ...prediction, measuredMs, difference });
    onLine(
      `plan, ${shape.name}: predicted ${prediction.predictedMs.toFixed(0)} ms, measured ${measuredMs.toFixed(0)} ms`,
    );
  }
  return results;
}

function predict(shape: PlanCase, { recorded }: RunMeasurement): { predictedMs: number; simulatedMs: number } {
  const { accumulation, gpus, microBatch, nodes } = shape;
  const workers = nodes * gpus;
  const speed = measureSpeed(recorded, workers)!;
  const tokensPerSlot = recorded.at(-1)!.inputTokens / recorded.length / workers;
  const slotSeconds = speed.secondsPerToken * tokensPerSlot;
  const size = { nodes, gpus, microBatch, accumulation, epochs: 1, maxSteps: measuredSteps };
  const { time } = planRun(
    { ...size, saveSteps: 0, saveTotalLimit: 0, evalSteps: 0 },
    { trainSize: 1000, evaluationSize: 0, networkGbps: 10, slotSeconds, overheadSeconds: speed.overheadSeconds },
  );
  const simulation = simulateSteps({
    ...{ nodes, gpus, computeSeconds: slotSeconds, jitter: 0.05, overheadSeconds: speed.overheadSeconds },
    ...{ gradientBytes: 0, networkGbps: 10, restartSeconds: 0, steps: measuredSteps, seed: 1 },
  });
  return { predictedMs: time!.stepSeconds * 1000, simulatedMs: simulation.stepSeconds * 1000 };
}

function argsOf({ accumulation, gpus, microBatch, nodes }: PlanCase, steps: number): string[] {
  const numbers = {
    nodes,
    gpus,
    "per-device-train-batch-size": microBatch,
    "gradient-accumulation-steps": accumulation,
    "max-steps": steps,
    "save-steps": 0,
    "eval-split": 0,
  };
  return Object.entries(numbers).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
}

/** A table for the page of results. */
export function renderPlanResults(results: readonly PlanResult[]): string {
  const rows = results.map(
    ({ difference, measuredMs, name, predictedMs, simulatedMs }) =>
      `| ${name} | ${predictedMs.toFixed(0)} | ${simulatedMs.toFixed(0)} | ${measuredMs.toFixed(0)} | ${(100 * difference).toFixed(1)} % |`,
  );
  const head =
    "| nodes × workers | plan, ms | simulation, ms | measured, ms | plan − measured |\n| --- | ---: | ---: | ---: | ---: |";
  return `## Predictions of \`coord plan\` against runs\n\nTime per step, predicted from ${calibrationSteps} steps, measured over ${measuredSteps}.\n\n${head}\n${rows.join("\n")}\n`;
}
