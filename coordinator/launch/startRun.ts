import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { backoffDelayMs } from "../../shared/backoff.ts";
import { openStore } from "../../shared/checkpoint/openStore.ts";
import { systemClock } from "../../shared/clock.ts";
import type { ConfigKey, RunConfig } from "../../shared/config/schema.ts";
import { CoordError, isErrorCode } from "../../shared/errors.ts";
import { type LoggedProcess, type ProcessExit, spawnLogged } from "../../shared/process/spawnLogged.ts";
import type { Endpoint } from "../../shared/rpc/client.ts";
import { coordHome } from "../../shared/runPaths.ts";
import { claimOutput, releaseOutput } from "../runs/claimOutput.ts";
import { findRun } from "../runs/findRun.ts";
import { RunDirectory } from "../runs/runDirectory.ts";
import type { ResultFile, RunFile } from "../runs/runFiles.ts";
import { runLiveness } from "../runs/runLiveness.ts";
import { expectOwn } from "../startingPoint.ts";
import { checkAdapter } from "./checkAdapter.ts";
import { fitBatchSize } from "./checkMemory.ts";
import { checkCluster } from "./kubernetes/checkCluster.ts";
import { localConfig } from "./localConfig.ts";
import { pinConfig } from "./pinConfig.ts";
import { preflight } from "./preflight.ts";
import { type SubmittedRun, submitJob } from "./slurm/submitJob.ts";
import { checkHosts } from "./ssh/checkHosts.ts";
import { listenForHosts } from "./ssh/chooseAddress.ts";

/** A run whose coordinator answers, or has already ended. */
export interface StartedRun extends Endpoint {
  readonly runId: string;
  /** The run's directory. */
  readonly directory: string;
}

/** The coordinator's program, a process of its own. */
const entry = fileURLToPath(new URL("../main.js", import.meta.url));

/** Milliseconds that a coordinator has to listen. */
const startTimeoutMs = 30_000;
/** Milliseconds that a coordinator whose start was given up has between SIGTERM and SIGKILL. */
const graceMs = 5000;

/** Checks what can be checked, makes the run's directory and starts its coordinator, which outlives the terminal. */
export async function startRun(options: NewRunOptions): Promise<StartedRun> {
  return createRun(options, (directory) => startCoordinator(directory, [], options.signal));
}

/** Checks what can be checked, makes a new run's directory and submits the Slurm job that has its coordinator. */
export async function submitRun(options: NewRunOptions): Promise<SubmittedRun> {
  return createRun(options, submitJob);
}

export interface NewRunOptions {
  readonly config: RunConfig;
  /** Where each setting came from: the demo's own settings give way to the user's. */
  readonly sources: Readonly<Partial<Record<ConfigKey, string>>>;
  readonly signal: AbortSignal;
  /** Gets a line now and then while something is downloaded. */
  readonly onDownload?: (line: string) => void;
  /** Gets what is worth knowing about the hosts. */
  readonly onLine?: (line: string) => void;
}

/** A run without anything started yet that `start` gets going; where that fails, nothing is left of it. */
async function createRun<T>(
  options: NewRunOptions,
  start: (directory: RunDirectory, config: RunConfig) => Promise<T>,
): Promise<T> {
  const { signal } = options;
  const local = await localConfig(options.config, signal, options.onDownload);
  const listenGiven = (options.sources.listen ?? "default") !== "default";
  const listening = await listenForHosts(pinConfig(local, options.sources), listenGiven, signal);
  const pinned = await fitBatchSize(listening, signal);
  if (pinned !== listening) options.onLine?.(fittedLine(pinned));
  await preflight(pinned, signal);
  if (pinned.launcher === "ssh") await checkHosts(pinned, signal, options.onLine);
  if (pinned.launcher === "k8s") await checkCluster(pinned, signal);
  await checkAdapter(pinned);
  signal.throwIfAborted();
  const directory = await RunDirectory.create(coordHome(), { config: pinned, output: pinned.output });
  const output = pinned.output.replaceAll("{run}", directory.runId);
  const config = { ...pinned, output };
  try {
    await directory.writeRun({ ...(await directory.readRun())!, config, output });
    await claimOutput(output, directory);
    return await start(directory, config);
  } catch (thrown) {
    // A run that never was must not show up in `coord list`, unless its log is all there is to go by.
    await releaseOutput(output, directory).catch(() => undefined);
    if (!(thrown instanceof UnexplainedEnd)) await rm(directory.paths.root, { recursive: true, force: true });
    throw thrown;
  }
}

const fittedLine = ({ gradientAccumulationSteps, perDeviceTrainBatchSize }: RunConfig) =>
  `Micro-batches of ${perDeviceTrainBatchSize} fit this host's memory; ${gradientAccumulationSteps} per slot and step keep the global batch.`;

/** Continues a run from its newest valid checkpoint, or from the one named. */
export async function resumeRun(options: {
  readonly target?: string;
  readonly from?: string;
  readonly overrides: Partial<RunConfig>;
  readonly signal: AbortSignal;
  /** Gets what is worth knowing about the hosts. */
  readonly onLine?: (line: string) => void;
}): Promise<StartedRun | SubmittedRun> {
  const { from, signal } = options;
  const { directory, problem, run, runId } = await findRun(coordHome(), options.target);
  if (!run)
    throw new CoordError("RUN_NOT_FOUND", `Run ${runId} cannot be continued: ${problem ?? "it has no run.json"}`);
  if (await goesOn(directory)) throw isGoingOn(runId);
  const { overrides } = options;
  const elsewhere = overrides.hosts !== undefined || overrides.interface !== undefined;
  const listenGiven = overrides.listen !== undefined || !elsewhere;
  const config = await listenForHosts({ ...run.config, ...overrides }, listenGiven, signal);
  await preflight(config, signal);
  if (config.launcher === "ssh") await checkHosts(config, signal, options.onLine);
  if (config.launcher === "k8s") await checkCluster(config, signal);
  await checkCheckpoint(config, runId, from);
  signal.throwIfAborted();
  const result = await directory.readResult();
  await directory.writeRun({ ...run, config });
  try {
    if (config.launcher === "slurm") return await submitJob(directory, config, from);
    const args = from === undefined ? [] : ["--from", from];
    return await startCoordinator(directory, args, signal);
  } catch (thrown) {
    await putBack(directory, run, result);
    throw thrown;
  }
}

/** What the coordinator would say about the checkpoint that it is to start from, said before anything is changed. */
async function checkCheckpoint({ output }: RunConfig, runId: string, from: string | undefined): Promise<void> {
  const store = await openStore(output);
  const checkpoint = from === undefined ? (await store.newestValid())?.checkpoint : await store.load(from);
  if (checkpoint) expectOwn(checkpoint, runId);
}

/** A resume that was refused leaves the run as it was, settings and result. */
async function putBack(directory: RunDirectory, run: RunFile, result: ResultFile | undefined): Promise<void> {
  if (await goesOn(directory)) return;
  await directory.writeRun(run);
  if (result) await directory.writeResult(result);
}

async function startCoordinator(
  directory: RunDirectory,
  args: readonly string[],
  signal: AbortSignal,
): Promise<StartedRun> {
  const { home, paths, runId } = directory;
  // The result of an earlier start would be taken for that of this one.
  await rm(paths.result, { force: true });
  await mkdir(paths.logs, { recursive: true, mode: 0o700 });
  const log = join(paths.logs, "coordinator.log");
  const child = await spawnLogged({
    program: entry,
    args,
    env: { COORD_RUN_ID: runId, COORD_HOME: home },
    stdout: log,
    stderr: log,
    detached: true,
  });
  let exit: ProcessExit | undefined;
  child.ended.then((ended) => {
    exit = ended;
  });
  const deadline = systemClock.monotonicMs() + startTimeoutMs;
  try {
    for (let attempt = 0; ; attempt++) {
      const coordinator = await directory.readCoordinator();
      if (coordinator?.process.pid === child.pid) {
        const credentials = await directory.readAdminCredentials();
        return { runId, directory: paths.root, address: coordinator.address, ...credentials };
      }
      if (exit) throw await diedEarly(directory, exit, log);
      if (systemClock.monotonicMs() > deadline) {
        const message = `The coordinator did not listen within ${startTimeoutMs / 1000} s; its log is ${log}.`;
        throw new UnexplainedEnd("COORDINATOR_UNREACHABLE", message);
      }
      await systemClock.sleep(20 + backoffDelayMs(Math.min(attempt, 3), Math.random()), signal);
    }
  } catch (thrown) {
    if (!exit) await end(child);
    throw thrown;
  }
}

/** It is detached, so without this it would go on by itself. */
async function end(child: LoggedProcess): Promise<void> {
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
  await child.ended;
  clearTimeout(timer);
}

/** What a coordinator that ended before it listened has left behind as the reason. */
async function diedEarly(directory: RunDirectory, exit: ProcessExit, log: string): Promise<CoordError> {
  const result = await directory.readResult();
  if (result && isErrorCode(result.errorCode)) return new CoordError(result.errorCode, result.message);
  // It is no failure of the run that another coordinator was quicker.
  if (await goesOn(directory)) return isGoingOn(directory.runId);
  const how = exit.signal ? `by ${exit.signal}` : `with exit code ${exit.exitCode}`;
  return new UnexplainedEnd("INTERNAL", `The coordinator ended ${how} before it listened; its log is ${log}.`);
}

/** An end of which only the log can tell more. */
class UnexplainedEnd extends CoordError {}

function isGoingOn(runId: string): CoordError {
  return new CoordError("RUN_IN_USE", `Run ${runId} is going on; watch it with \`coord attach ${runId}\`.`);
}

async function goesOn(directory: RunDirectory): Promise<boolean> {
  const liveness = await runLiveness(directory);
  return liveness === "live" || liveness === "starting";
}
