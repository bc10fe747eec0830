import { readdir } from "node:fs/promises";
import { hostname } from "node:os";
import { openStore } from "../shared/checkpoint/openStore.ts";
import type { RunConfig } from "../shared/config/schema.ts";
import { CoordError, toCoordError } from "../shared/errors.ts";
import type { Logger } from "../shared/log.ts";
import { ownIdentity } from "../shared/process/identity.ts";
import { removeProcessRecord, userName, writeProcessRecord } from "../shared/process/record.ts";
import { Coordinator, type RunOutcome } from "./coordinator.ts";
import { openRunPage } from "./dashboard/runPage.ts";
import { GenerationFile } from "./generationFile.ts";
import { EventLog } from "./observe/eventLog.ts";
import { followTrackers } from "./observe/followTrackers.ts";
import { writeResults } from "./observe/results/writeResults.ts";
import { type BoundPort, bindLeased } from "./ports/bindLeased.ts";
import { contains, parsePortRange } from "./ports/portRange.ts";
import { claimOutput, releaseOutput } from "./runs/claimOutput.ts";
import { prepareCredentials } from "./runs/runCredentials.ts";
import type { RunDirectory } from "./runs/runDirectory.ts";
import { acquireRunLock } from "./runs/runLock.ts";
import { CoordinatorServer } from "./server.ts";

/** Milliseconds that followers have to read the last events. */
const closeGraceMs = 2000;

export interface CoordinatorProcessOptions {
  readonly directory: RunDirectory;
  /** `checkpoint-N` to continue from; absent for the newest valid one. */
  readonly from: string | undefined;
  readonly logger: Logger;
  /** Aborted by SIGTERM. */
  readonly terminated: AbortSignal;
}

/**
 * One coordinator's life: takes the run's lock, claims the output, listens, runs, and leaves a result. Returns the exit
 * code. Throws RUN_IN_USE, which leaves the other coordinator's run alone; any other failure becomes the run's result.
 */
export async function runCoordinatorProcess(options: CoordinatorProcessOptions): Promise<number> {
  const { directory, logger } = options;
  const lock = await acquireRunLock(directory);
  try {
    const run = await directory.readRun();
    if (!run) throw new CoordError("RUN_NOT_FOUND", `${directory.paths.root} holds no run.json.`);
    const before = await directory.readCoordinator().catch(() => undefined);
    // One that came to an end has left its result; what is on other hosts does not show in this directory.
    const afterCrash = before !== undefined && (await directory.readResult().catch(() => undefined)) === undefined;
    await directory.reopen();
    const outcome = await serve(options, run.config, { afterCrash, port: portOf(before?.address) }).catch(
      async (thrown: unknown) => {
        const error = toCoordError(thrown);
        logger.error({ code: error.code, err: error.code === "INTERNAL" ? thrown : undefined }, error.message);
        const failure = { ...nothingDone, exitCode: error.exitCode, errorCode: error.code, message: error.message };
        await conclude(directory, failure, run.config);
        return failure;
      },
    );
    return outcome.exitCode;
  } finally {
    await lock.release();
  }
}

const nothingDone = { state: "failed", step: 0, maxSteps: 0, checkpoint: "", adapter: "" } as const;

async function serve(
  options: CoordinatorProcessOptions,
  config: RunConfig,
  before: { readonly afterCrash: boolean; readonly port: number | undefined },
): Promise<RunOutcome> {
  const { directory, from, logger, terminated } = options;
  const { home, paths, runId } = directory;
  await claimOutput(config.output, directory);
  const events = new EventLog(paths);
  events.follow(0, ({ data, kind, message }) => logger.info({ kind, ...data }, message));
  const { tls, tokens } = await prepareCredentials(paths, config);
  const server = new CoordinatorServer(tokens, logger, tls);
  const bound = await bind(directory, config, server, before.port);
  const identity = ownIdentity();
  const address = `${reachableHost(config)}:${bound.port}`;
  const record = await writeProcessRecord(paths.processes, {
    runId,
    role: "coordinator",
    ports: [bound.port],
    startedAtMs: Date.now(),
    user: userName(),
    identity,
  });
  const store = await openStore(config.output, {
    saveTotalLimit: config.saveTotalLimit,
    saveMilestoneSteps: config.saveMilestoneSteps,
    onWarning: (message) => events.add("warning", message),
  });
  const generations = new GenerationFile(paths.generation);
  const coordinator = new Coordinator({
    runId,
    home,
    paths,
    config,
    from,
    address,
    server,
    events,
    logger,
    generations,
    store,
    terminated,
    firstAttempt: await usedAttempts(paths.logs),
    afterCrash: before.afterCrash,
    keep: (change) => void keepChange(directory, change, logger),
  });
  // From here on other commands find the run.
  await directory.writeCoordinator({ address, process: identity });
  const run = { runId, eventsPath: paths.events, config };
  const endTrackers = await followTrackers(run, events);
  const page = await openRunPage(directory, config, coordinator.monitor, events, tls);
  const outcome = await coordinator.run();
  await endTrackers(outcome.state);
  if (outcome.errorCode === "RUN_IN_USE") {
    // The files are the other coordinator's.
    await page.close(closeGraceMs);
    await server.close(closeGraceMs);
    await bound.release();
    return outcome;
  }
  if (outcome.state !== "failed" || outcome.checkpoint !== "") await writeResults(run, events);
  // Before followers hear of the end: they read it.
  await conclude(directory, outcome, config);
  coordinator.monitor.end();
  await page.close(closeGraceMs);
  await server.close(closeGraceMs);
  await bound.release();
  events.close();
  await removeProcessRecord(record);
  return outcome;
}

async function keepChange(directory: RunDirectory, change: Partial<RunConfig>, logger: Logger): Promise<void> {
  try {
    const run = await directory.readRun();
    if (run) await directory.writeRun({ ...run, config: { ...run.config, ...change } });
  } catch (thrown) {
    logger.warn({ reason: toCoordError(thrown).message }, "the change holds until the coordinator ends");
  }
}

/** Leaves the result, and nothing else where a run has failed before it came to anything. */
async function conclude(directory: RunDirectory, outcome: RunOutcome, { output }: RunConfig): Promise<void> {
  await directory.writeResult({ ...outcome, output });
  if (outcome.state === "failed") await releaseOutput(output, directory).catch(() => undefined);
}

/** Agents and workers that an earlier coordinator left behind look for it where it was, so that port comes first. */
async function bind(
  { home, runId }: RunDirectory,
  config: RunConfig,
  server: CoordinatorServer,
  portBefore: number | undefined,
): Promise<BoundPort> {
  const listen = (port: number) => server.listen(config.listen, port);
  const portRange = config.portRange === undefined ? undefined : parsePortRange(config.portRange);
  const place = { home, runId, host: config.listen, listen };
  if (portBefore !== undefined && config.masterPort === 0 && (!portRange || contains(portRange, portBefore))) {
    try {
      return await bindLeased({ ...place, port: portBefore });
    } catch (thrown) {
      if (toCoordError(thrown).code !== "PORT_UNAVAILABLE") throw thrown;
    }
  }
  return bindLeased({ ...place, port: config.masterPort, portRange });
}

function portOf(address: string | undefined): number | undefined {
  return address === undefined ? undefined : Number(address.slice(address.lastIndexOf(":") + 1));
}

/** The address that workers get: the one bound, or this host's name when all of its addresses are. */
function reachableHost(config: RunConfig): string {
  return config.listen === "0.0.0.0" || config.listen === "::" ? (config.advertise ?? hostname()) : config.listen;
}

/** Attempts that earlier coordinators of the run have made: their logs stay as they are. */
async function usedAttempts(logs: string): Promise<number> {
  const numbers = (await readdir(logs)).map((name) => /^attempt_(\d+)$/.exec(name)?.[1]);
  return Math.max(-1, ...numbers.map((number) => Number(number ?? -1))) + 1;
}
