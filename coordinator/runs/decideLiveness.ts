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
  /** Milliseconds since the run was created. */
  readonly ageMs: number;
}

/** Milliseconds that a new run's coordinator has for taking the run's lock. */
export const startAllowanceMs = 30_000;

export function decideLiveness(observed: LivenessObservation): { liveness: Liveness; reason: string } {
  const { hasResult, coordinator, lock, ageMs } = observed;
  if (hasResult) return { liveness: "ended", reason: "The run has recorded its result." };
  if (coordinator === "alive") return { liveness: "live", reason: "Its coordinator runs." };
  if (lock === "alive") return { liveness: "starting", reason: "Its coordinator runs but does not listen yet." };
  if (coordinator === "gone" || lock === "gone") {
    return { liveness: "dead", reason: "Its coordinator is gone and left no result." };
  }
  if (ageMs < startAllowanceMs) return { liveness: "starting", reason: "It has just been created." };
  return { liveness: "dead", reason: "Its coordinator has never started." };
}
