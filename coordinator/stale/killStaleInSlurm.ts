import { stat } from "node:fs/promises";
import { connect } from "node:net";
import { systemClock } from "../../shared/clock.ts";
import { isLoopback } from "../../shared/config/tlsMode.ts";
import { toCoordError } from "../../shared/errors.ts";
import { isAlive, ownIdentity } from "../../shared/process/identity.ts";
import { phaseOf, type SlurmJob } from "../launch/slurm/parseJob.ts";
import { cancel, findJob } from "../launch/slurm/slurmJob.ts";
import { runIds } from "../runs/findRun.ts";
import { RunDirectory } from "../runs/runDirectory.ts";
import { decideStaleJob, type JobObservation } from "./decideStaleJob.ts";

/** A Slurm job that its run has left behind. */
export interface JobStaleReport {
  readonly runId: string;
  readonly job: string;
  /** Nodes that it held, in Slurm's form. */
  readonly nodes: string;
  readonly reason: string;
  /** Why it could not be cancelled. */
  readonly problem?: string;
}

/** Milliseconds for which a coordinator must be gone: the job's script starts one that was killed again. */
const confirmMs = 10_000;
/** Milliseconds that Slurm has to end a job. */
const endTimeoutMs = 60_000;
const lookMs = 1000;
const connectTimeoutMs = 3000;

/** Cancels the Slurm jobs of runs of this COORD_HOME that nobody looks after any more, and waits for their end. */
export async function killStaleInSlurm(options: {
  readonly home: string;
  readonly dryRun: boolean;
  /** Look at one run only. */
  readonly runId?: string | undefined;
  readonly signal: AbortSignal;
}): Promise<JobStaleReport[]> {
  const { dryRun, home, runId, signal } = options;
  const reports: JobStaleReport[] = [];
  for (const id of runId === undefined ? await runIds(home) : [runId]) {
    const directory = new RunDirectory(home, id);
    const found = await staleJob(directory, signal);
    if (found === undefined) continue;
    const report = { runId: id, job: found.job.id, nodes: found.job.nodes, reason: found.reason };
    const problem = dryRun ? undefined : await end(directory, found.job, signal);
    reports.push(problem === undefined ? report : { ...report, problem });
  }
  return reports;
}

/** The run's job, where it was of no use at every look during `confirmMs`. */
async function staleJob(
  directory: RunDirectory,
  signal: AbortSignal,
): Promise<{ job: SlurmJob; reason: string } | undefined> {
  const deadline = systemClock.monotonicMs() + confirmMs;
  for (;;) {
    const job = await findJob(directory.paths.slurmJob).catch(() => undefined);
    if (job === undefined) return undefined;
    const reason = decideStaleJob(await observe(directory, phaseOf(job)));
    if (reason === undefined) return undefined;
    if (systemClock.monotonicMs() >= deadline) return { job, reason };
    await systemClock.sleep(lookMs, signal);
  }
}

async function observe(directory: RunDirectory, phase: JobObservation["phase"]): Promise<JobObservation> {
  const { result: path } = directory.paths;
  const result = await directory.readResult().catch(() => undefined);
  const writtenMs = await stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => Date.now(),
  );
  return {
    phase,
    coordinator: await lookForCoordinator(directory),
    ...(result ? { result: { exitCode: result.exitCode, ageMs: Date.now() - writtenMs } } : {}),
  };
}

/** On its own host the process is looked for; from elsewhere, only a refused connection says that nobody listens. */
async function lookForCoordinator(directory: RunDirectory): Promise<JobObservation["coordinator"]> {
  const coordinator = await directory.readCoordinator().catch(() => undefined);
  if (coordinator === undefined) return "absent";
  if (isAlive(coordinator.process)) return "alive";
  if (coordinator.process.bootId === ownIdentity().bootId) return "gone";
  const at = coordinator.address.lastIndexOf(":");
  const host = coordinator.address.slice(0, at).replace(/^\[(.*)\]$/, "$1");
  if (isLoopback(host)) return "unknown";
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(coordinator.address.slice(at + 1)), timeout: connectTimeoutMs });
    const end = (answer: JobObservation["coordinator"]) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => end("alive"));
    socket.once("timeout", () => end("unknown"));
    socket.once("error", ({ code }: NodeJS.ErrnoException) => end(code === "ECONNREFUSED" ? "gone" : "unknown"));
  });
}

/** Cancels a job and waits until Slurm has ended what it had on its nodes; returns what went wrong. */
async function end(directory: RunDirectory, job: SlurmJob, signal: AbortSignal): Promise<string | undefined> {
  try {
    await cancel(job.id);
  } catch (thrown) {
    return toCoordError(thrown).message;
  }
  const deadline = systemClock.monotonicMs() + endTimeoutMs;
  while (phaseOf(await findJob(directory.paths.slurmJob).catch(() => undefined)) !== "over") {
    if (systemClock.monotonicMs() >= deadline) return `Slurm has not ended it within ${endTimeoutMs / 1000} s.`;
    await systemClock.sleep(lookMs, signal);
  }
  return undefined;
}
