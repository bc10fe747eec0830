import type { KnownRun } from "../../runs/findRun.ts";
import { phaseOf } from "./parseJob.ts";
import { cancel, findJob } from "./slurmJob.ts";

/** Takes a run's job out of Slurm's queue; returns false where there is none or it runs already. */
export async function stopWaitingJob({ directory, run }: KnownRun): Promise<boolean> {
  const job = await findJob(directory.paths.slurmJob).catch(() => undefined);
  if (job === undefined || run === undefined || phaseOf(job) !== "waiting") return false;
  await cancel(job.id);
  const before = await directory.readResult();
  const message = `Stopped by the user while Slurm job ${job.id} waited in the queue.`;
  const nothing = { step: 0, maxSteps: 0, checkpoint: "", adapter: "", output: run.output };
  await directory.writeResult({ ...nothing, ...before, state: "stopped", exitCode: 130, errorCode: "", message });
  return true;
}
