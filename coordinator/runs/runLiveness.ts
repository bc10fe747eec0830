import { stat } from "node:fs/promises";
import { readLock } from "../../shared/process/exclusiveLock.ts";
import { isAlive, type ProcessIdentity, readEnvironment } from "../../shared/process/identity.ts";
import { phaseOf } from "../launch/slurm/parseJob.ts";
import { findJob } from "../launch/slurm/slurmJob.ts";
import { decideLiveness, type Liveness, type LivenessObservation } from "./decideLiveness.ts";
import type { RunDirectory } from "./runDirectory.ts";
import { runLockPath } from "./runLock.ts";

/** Whether a run goes on. */
export async function runLiveness(directory: RunDirectory): Promise<Liveness> {
  const job = await jobPhase(directory);
  const owner = await observeProcesses(directory);
  const hasResult = await exists(directory.paths.result);
  const observed = { ...owner, hasResult, ageMs: await ageOf(directory.paths.root), ...(job ? { job } : {}) };
  return decideLiveness(observed).liveness;
}

/** Who owns a run: for one in a Slurm job that job, on whatever host; otherwise processes of this host. */
export async function observeOwner(directory: RunDirectory): Promise<Owner> {
  const job = await jobPhase(directory);
  if (job === undefined) return observeProcesses(directory);
  return { coordinator: job === "over" ? "gone" : "alive", lock: "absent" };
}

type Owner = Pick<LivenessObservation, "coordinator" | "lock">;

/** Where a run's Slurm job stands; undefined for a run without one, and where Slurm's commands are missing. */
async function jobPhase({ paths }: RunDirectory): Promise<LivenessObservation["job"]> {
  if (!(await exists(paths.slurmJob))) return undefined;
  return findJob(paths.slurmJob).then(phaseOf, () => undefined);
}

/** Looks at the two processes that can own a run: the coordinator that it records, and the holder of its lock. */
async function observeProcesses(directory: RunDirectory): Promise<Owner> {
  const locks = await readLock(runLockPath(directory));
  // A damaged coordinator.json names nobody; the lock still says whether somebody is there.
  const coordinator = await directory.readCoordinator().catch(() => undefined);
  return {
    coordinator: coordinator === undefined ? "absent" : runsAs(directory.runId, coordinator.process) ? "alive" : "gone",
    lock: locks.length === 0 ? "absent" : locks.some(({ alive }) => alive) ? "alive" : "gone",
  };
}

/** True when the process lives and was started for this run, as far as its environment may be read. */
function runsAs(runId: string, identity: ProcessIdentity): boolean {
  if (!isAlive(identity)) return false;
  const environment = readEnvironment(identity.pid);
  return environment === undefined || environment.get("COORD_RUN_ID") === runId;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function ageOf(path: string): Promise<number> {
  return stat(path).then(
    ({ birthtimeMs, mtimeMs }) => Date.now() - (birthtimeMs || mtimeMs),
    () => Number.POSITIVE_INFINITY,
  );
}
