import type { SubmittedRun } from "../launch/slurm/submitJob.ts";
import type { CommandContext } from "./command.ts";

/** Says where a run has gone that Slurm will start; a queue may take hours, so nobody waits for it. */
export function describeSubmission({ job, runId, script }: SubmittedRun, { stdout }: CommandContext): number {
  stdout.write(
    `Run ${runId} is Slurm job ${job} (${script}).\n` +
      `coord status ${runId} shows where it stands, coord attach ${runId} watches it once it runs.\n`,
  );
  return 0;
}
