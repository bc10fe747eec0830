import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import type { MeasuredStep } from "../../coordinator/plan/measureSpeed.ts";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { type MeasuredRole, PeakMemory } from "./peakMemory.ts";
import { median } from "./statistics.ts";

const command = join(packageRoot(), "dist", "coordinator", "cli", "main.js");
const samplingIntervalMs = 100;

/** Figures of one `coord launch`. Step figures are medians over all steps but the first, which includes loading. */
export interface RunMeasurement {
  readonly runId: string;
  readonly steps: number;
  /** Input tokens per second from the end of the first step to that of the last, evaluations and checkpoints included. */
  readonly tokensPerSecond: number;
  readonly stepMs: number;
  /** Means over the workers; the exchange includes waiting for the slowest. */
  readonly computeMs: number;
  readonly reduceMs: number;
  /** From the start of the command to its first committed step. */
  readonly firstStepMs: number;
  /** All steps, as metrics.jsonl has them. */
  readonly recorded: readonly MeasuredStep[];
  /** Checkpoints, in order: how long writing each one took behind training's back. */
  readonly writes: readonly { readonly step: number; readonly tookMs: number }[];
  /** From the start of the command to its end. */
  readonly totalMs: number;
  readonly peakBytes: ReadonlyMap<
    MeasuredRole,
    { readonly sum: number; readonly largest: number; readonly processes: number }
  >;
}

/** Runs `coord launch` with a COORD_HOME and an output of its own and reads what the run has recorded. */
export async function measureRun(
  args: readonly string[],
  signal: AbortSignal,
  env: Readonly<Record<string, string>> = {},
): Promise<RunMeasurement> {
  const directory = await mkdtemp(join(tmpdir(), "coord-bench-"));
  try {
    return await measureRunIn(directory, args, signal, env);
  } finally {
    await rm(directory, { recursive: true, force: true, maxRetries: 10 });
  }
}

/** The same below a directory that several runs share: their COORD_HOME is `home` in it. */
export async function measureRunIn(
  directory: string,
  args: readonly string[],
  signal: AbortSignal,
  env: Readonly<Record<string, string>> = {},
): Promise<RunMeasurement> {
  const home = join(directory, "home");
  const before = await runsOf(home);
  const memory = new PeakMemory();
  signal.throwIfAborted();
  const startedAtMs = Date.now();
  const output = join(directory, `output-${before.length}`);
  const child = execa(process.execPath, [command, "launch", "--output", output, ...args], {
    cwd: directory,
    env: { ...withoutSettings(process.env), COORD_HOME: home, ...env },
    extendEnv: false,
    reject: false,
    all: true,
    stdin: "ignore",
  });
  const interrupt = () => child.kill("SIGINT");
  signal.addEventListener("abort", interrupt, { once: true });
  const sampling = setInterval(() => memory.sample(home, child.pid!), samplingIntervalMs);
  const { all, exitCode } = await child;
  const endedAtMs = Date.now();
  clearInterval(sampling);
  signal.removeEventListener("abort", interrupt);
  await processesGone(home);
  signal.throwIfAborted();
  if (exitCode !== 0) throw new Error(`coord launch ${args.join(" ")} ended with ${exitCode}:\n${all.slice(-2000)}`);
  const runId = (await runsOf(home)).find((run) => !before.includes(run))!;
  return {
    runId,
    ...readSteps(await readEvents(home, runId), startedAtMs),
    totalMs: endedAtMs - startedAtMs,
    peakBytes: memory.byRole(),
  };
}

/** The document that a `coord … --json` with the same COORD_HOME prints. */
export async function askIn<T>(directory: string, args: readonly string[]): Promise<T> {
  const { stdout } = await execa(process.execPath, [command, ...args, "--json"], {
    cwd: directory,
    env: { ...withoutSettings(process.env), COORD_HOME: join(directory, "home") },
    extendEnv: false,
  });
  return JSON.parse(stdout) as T;
}

function runsOf(home: string): Promise<string[]> {
  return readdir(join(home, "runs")).catch(() => []);
}

interface StepEvent {
  readonly kind: string;
  readonly timeMs: number;
  readonly data: {
    readonly step: number;
    readonly stepMs: number;
    readonly computeMs: number;
    readonly reduceMs: number;
    /** Since the start of the run. */
    readonly inputTokens: number;
    /** Of a checkpoint. */
    readonly tookMs: number;
  };
}

function readSteps(events: readonly StepEvent[], startedAtMs: number) {
  const [first, ...steps] = events.filter(({ kind }) => kind === "step");
  const last = steps.at(-1);
  if (!first || !last) throw new Error("A measured run needs at least two steps.");
  const over = (pick: (data: StepEvent["data"]) => number) => median(steps.map(({ data }) => pick(data)));
  return {
    steps: steps.length + 1,
    tokensPerSecond: ((last.data.inputTokens - first.data.inputTokens) * 1000) / (last.timeMs - first.timeMs),
    stepMs: over((data) => data.stepMs),
    computeMs: over((data) => data.computeMs),
    reduceMs: over((data) => data.reduceMs),
    firstStepMs: first.timeMs - startedAtMs,
    writes: events.filter(({ kind }) => kind === "checkpoint").map(({ data: { step, tookMs } }) => ({ step, tookMs })),
    recorded: [first, ...steps].map(({ data }) => data),
  };
}

async function readEvents(home: string, runId: string): Promise<StepEvent[]> {
  const text = await readFile(join(home, "runs", runId, "events.jsonl"), "utf8");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as StepEvent);
}

/** The command may end a moment before the coordinator does, which would disturb the next measurement. */
async function processesGone(home: string): Promise<void> {
  for (const run of await readdir(join(home, "runs")).catch(() => [])) {
    for (let looks = 0; looks < 300; looks++) {
      if ((await readdir(join(home, "runs", run, "processes"))).length === 0) break;
      await sleep(100);
    }
  }
}

/** Settings of the caller's environment would change what is measured. */
function withoutSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith("COORD_")));
}
