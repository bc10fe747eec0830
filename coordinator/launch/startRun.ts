import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { backoffDelayMs } from "../../shared/backoff.ts";
import { systemClock } from "../../shared/clock.ts";
import type { ConfigKey, RunConfig } from "../../shared/config/schema.ts";
import { CoordError, type ErrorCode, isErrorCode } from "../../shared/errors.ts";
import { type ProcessExit, spawnLogged } from "../../shared/process/spawnLogged.ts";
import { coordHome } from "../../shared/runPaths.ts";
import { claimOutput } from "../runs/claimOutput.ts";
import { findRun } from "../runs/findRun.ts";
import { RunDirectory } from "../runs/runDirectory.ts";
import { runLiveness } from "../runs/runLiveness.ts";
import { pinConfig } from "./pinConfig.ts";
import { preflight } from "./preflight.ts";

/** A run whose coordinator answers, or has already ended. */
export interface StartedRun {
  readonly runId: string;
  /** The run's directory. */
  readonly directory: string;
  readonly address: string;
  readonly token: string;
  /** Certificate authority (PEM text), where the coordinator speaks TLS. */
  readonly tlsCa?: string;
}

/** The coordinator's program, a process of its own. */
const entry = fileURLToPath(new URL("../main.js", import.meta.url));

/** Milliseconds that a coordinator has to listen. */
const startTimeoutMs = 30_000;

/** Checks what can be checked, makes the run's directory and starts its coordinator, which outlives the terminal. */
export async function startRun(options: {
  readonly config: RunConfig;
  /** Where each setting came from: the demo's own settings give way to the user's. */
  readonly sources: Readonly<Partial<Record<ConfigKey, string>>>;
  readonly signal: AbortSignal;
}): Promise<StartedRun> {
  const pinned = pinConfig(options.config, options.sources);
  await preflight(pinned);
  const directory = await RunDirectory.create(coordHome(), { config: pinned, output: pinned.output });
  const { runId } = directory;
  const output = pinned.output.replaceAll("{run}", runId);
  const config = { ...pinned, output };
  await directory.writeRun({ ...(await directory.readRun())!, config, output });
  await claimOutput(output, directory).catch(async (thrown: unknown) => {
    // A run that never was must not show up in `coord list`.
    await rm(directory.paths.root, { recursive: true, force: true });
    throw thrown;
  });
  return startCoordinator(directory, config, [], options.signal);
}

/** Continues a run from its newest valid checkpoint, or from the one named. */
export async function resumeRun(options: {
  readonly target?: string;
  readonly from?: string;
  readonly overrides: Partial<RunConfig>;
  readonly signal: AbortSignal;
}): Promise<StartedRun> {
  const { directory, run, runId } = await findRun(coordHome(), options.target);
  if (!run) throw new CoordError("RUN_NOT_FOUND", `Run ${runId} cannot be continued: its run.json cannot be read.`);
  const liveness = await runLiveness(directory);
  if (liveness === "live" || liveness === "starting") {
    throw new CoordError("RUN_IN_USE", `Run ${runId} is going on; watch it with \`coord attach ${runId}\`.`);
  }
  const config = { ...run.config, ...options.overrides };
  await preflight(config);
  await directory.writeRun({ ...run, config });
  const args = options.from === undefined ? [] : ["--from", options.from];
  return startCoordinator(directory, config, args, options.signal);
}

async function startCoordinator(
  directory: RunDirectory,
  config: RunConfig,
  args: readonly string[],
  signal: AbortSignal,
): Promise<StartedRun> {
  const { home, paths, runId } = directory;
  await directory.reopen();
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
  for (let attempt = 0; ; attempt++) {
    const coordinator = await directory.readCoordinator();
    if (coordinator) {
      const tlsCa = config.tlsCa === undefined ? undefined : await readFile(config.tlsCa, "utf8");
      return {
        runId,
        directory: paths.root,
        address: coordinator.address,
        token: await directory.readToken(),
        ...(tlsCa === undefined ? {} : { tlsCa }),
      };
    }
    if (exit) throw await diedEarly(directory, exit, log);
    if (systemClock.monotonicMs() > deadline) {
      child.kill("SIGKILL");
      const message = `The coordinator did not listen within ${startTimeoutMs / 1000} s; its log is ${log}.`;
      throw new CoordError("COORDINATOR_UNREACHABLE", message);
    }
    await systemClock.sleep(20 + backoffDelayMs(Math.min(attempt, 3), Math.random()), signal);
  }
}

/** What a coordinator that ended before it listened has left behind as the reason. */
async function diedEarly(directory: RunDirectory, exit: ProcessExit, log: string): Promise<CoordError> {
  const result = existsSync(directory.paths.result) ? await directory.readResult() : undefined;
  const code: ErrorCode = result && isErrorCode(result.errorCode) ? result.errorCode : "INTERNAL";
  const how = exit.signal ? `by ${exit.signal}` : `with exit code ${exit.exitCode}`;
  return new CoordError(code, result?.message ?? `The coordinator ended ${how} before it listened; its log is ${log}.`);
}
