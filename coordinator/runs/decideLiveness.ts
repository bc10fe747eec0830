/** Whether a run goes on: not yet listening, going on, ended by itself, or cut off. */
export type Liveness = "starting" | "live" | "ended" | "dead";

/** What the run directory and the process table say. */
export interface LivenessObservation {
  /** result.json is there. */
  readonly hasResult: boolean;
  /** The process that coordinator.json names. */
  readonly coordinator: "absent" | "alive" | "gone";
  /** The process that holds the run's lock. */
  readonly lock: "absent" | "alive" | "gone";
  /** Where the run's Slurm job stands; absent for a run without one. */
  readonly job?: "waiting" | "going" | "over";
  /** Milliseconds since the run was created. */
  readonly ageMs: number;
}

/** Milliseconds that a new run's coordinator has for taking the run's lock. */
export const startAllowanceMs = 30_000;

export function decideLiveness(observed: LivenessObservation): { liveness: Liveness; reason: string } {
  const { hasResult, coordinator, job, lock, ageMs } = observed;
  // Back in the queue, an earlier attempt's result is not the last word; nor are its processes on some other host.
  if (job === "waiting") return { liveness: "starting", reason: "Its job waits in Slurm's queue." };
  if (hasResult) return { liveness: "ended", reason: "The run has recorded its result." };
  if (job === "going") {
    return coordinator === "absent"
      ? { liveness: "starting", reason: "Its job runs, its coordinator does not listen yet." }
      : { liveness: "live", reason: "Its Slurm job runs." };
  }
  if (job === "over") return { liveness: "dead", reason: "Its Slurm job is over and left no result." };
  if (coordinator === "alive") return { liveness: "live", reason: "Its coordinator runs." };
  if (lock === "alive") return { liveness: "starting", reason: "Its coordinator runs but does not listen yet." };
  if (coordinator === "gone" || lock === "gone") {
    return { liveness: "dead", reason: "Its coordinator is gone and left no result." };
  }
  if (ageMs < startAllowanceMs) return { liveness: "starting", reason: "It has just been created." };
  return { liveness: "dead", reason: "Its coordinator has never started." };
}
