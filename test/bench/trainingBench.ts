import { measureRun, type RunMeasurement } from "./measureRun.ts";
import type { MeasuredRole } from "./peakMemory.ts";
import { type Summary, summarize } from "./statistics.ts";

/** One shape of a run to measure. */
export interface TrainingCase {
  readonly name: string;
  /** Arguments of `coord launch`. */
  readonly args: readonly string[];
}

/** Figures of one shape over several runs; times in milliseconds, memory in bytes. */
export interface TrainingResult {
  readonly name: string;
  readonly runs: number;
  readonly steps: number;
  readonly stepMs: Summary;
  readonly computeMs: Summary;
  readonly reduceMs: Summary;
  readonly tokensPerSecond: Summary;
  readonly firstStepMs: Summary;
  readonly totalMs: Summary;
  /** Sum of the processes' own peaks, by role and in all. */
  readonly peakBytes: Readonly<Record<MeasuredRole | "all", Summary>>;
  /** The largest worker. */
  readonly largestWorkerBytes: Summary;
}

/** Runs every shape `repetitions` times, taking turns so that drifting load meets all of them. */
export async function measureTraining(
  cases: readonly TrainingCase[],
  repetitions: number,
  signal: AbortSignal,
  onRun: (line: string) => void,
): Promise<TrainingResult[]> {
  const measurements = cases.map((): RunMeasurement[] => []);
  for (let repetition = 1; repetition <= repetitions; repetition++) {
    for (const [index, { name, args }] of cases.entries()) {
      const measurement = await measureRun(args, signal);
      measurements[index]!.push(measurement);
      onRun(`${name}, run ${repetition} of ${repetitions}: step ${Math.round(measurement.stepMs)} ms`);
    }
  }
  return cases.map(({ name }, index) => summarizeRuns(name, measurements[index]!));
}

function summarizeRuns(name: string, runs: readonly RunMeasurement[]): TrainingResult {
  const over = (pick: (run: RunMeasurement) => number) => summarize(runs.map(pick));
  const ofRole = (role: MeasuredRole) => (run: RunMeasurement) => run.peakBytes.get(role)?.sum ?? 0;
  return {
    name,
    runs: runs.length,
    steps: runs[0]!.steps,
    stepMs: over((run) => run.stepMs),
    computeMs: over((run) => run.computeMs),
    reduceMs: over((run) => run.reduceMs),
    tokensPerSecond: over((run) => run.tokensPerSecond),
    firstStepMs: over((run) => run.firstStepMs),
    totalMs: over((run) => run.totalMs),
    peakBytes: {
      cli: over(ofRole("cli")),
      coordinator: over(ofRole("coordinator")),
      agent: over(ofRole("agent")),
      worker: over(ofRole("worker")),
      all: over((run) => [...run.peakBytes.values()].reduce((total, { sum }) => total + sum, 0)),
    },
    largestWorkerBytes: over((run) => run.peakBytes.get("worker")?.largest ?? 0),
  };
}
