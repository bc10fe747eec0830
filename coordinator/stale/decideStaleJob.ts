import { exitCodes } from "../../shared/errors.ts";

/** What is known of a run's Slurm job. */
export interface JobObservation {
  readonly phase: "waiting" | "going" | "over";
  /** How the run ended, by its own word; absent while it goes on. */
  readonly result?: { readonly exitCode: number; readonly ageMs: number };
  /** The recorded coordinator: "unknown" where it cannot be asked from here, "absent" while none is recorded. */
  readonly coordinator: "alive" | "gone" | "unknown" | "absent";
}

/** Milliseconds that a job has to end after its run has. */
const endAllowanceMs = 60_000;

/** Why a run's Slurm job is of no more use; undefined where it may be. A job that waits for its turn always may. */
export function decideStaleJob({ coordinator, phase, result }: JobObservation): string | undefined {
  if (phase !== "going") return undefined;
  // One that is worth retrying is on its way back into the queue.
  if (result) {
    const over = result.exitCode !== exitCodes.worthRetrying && result.ageMs > endAllowanceMs;
    return over ? "the run has ended, its job has not" : undefined;
  }
  return coordinator === "gone" ? "nothing of the run looks after it any more: its coordinator is gone" : undefined;
}
