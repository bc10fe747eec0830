import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { RunConfig } from "../../../shared/config/schema.ts";
import { writeFileAtomic } from "../../../shared/process/atomicFile.ts";
import { packageVersion } from "../../../shared/process/packageVersion.ts";
import type { RunDirectory } from "../../runs/runDirectory.ts";
import { batchScript } from "./batchScript.ts";
import { submit, writeJobId } from "./slurmJob.ts";

/** A run in Slurm's queue. */
export interface SubmittedRun {
  readonly runId: string;
  /** The job's number. */
  readonly job: string;
  readonly script: string;
}

const coordinatorEntry = fileURLToPath(new URL("../../main.js", import.meta.url));

/** Writes a run's batch script and hands it to sbatch. Throws PREFLIGHT_REFUSED with what sbatch says. */
export async function submitJob(directory: RunDirectory, config: RunConfig, from?: string): Promise<SubmittedRun> {
  const { paths, runId } = directory;
  await writeFileAtomic(paths.slurmScript, scriptFor(directory, config), { mode: 0o700 });
  const job = await submit(paths.slurmScript, from);
  // How an earlier attempt ended would be taken for the end of this one.
  for (const path of [paths.result, paths.coordinator]) await rm(path, { force: true });
  await writeJobId(paths.slurmJob, job);
  return { runId, job, script: paths.slurmScript };
}

/** The batch script of a run. */
export function scriptFor({ home, paths, runId }: RunDirectory, config: RunConfig): string {
  return batchScript(config, {
    runId,
    home,
    logs: paths.logs,
    job: paths.slurmJob,
    program: [process.execPath, coordinatorEntry],
    version: packageVersion(),
  });
}
