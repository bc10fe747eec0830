import { RunState } from "../../shared/gen/coord/v1/run_pb.ts";

/** The word for a run's state, on screen and in JSON. */
export type RunStateName =
  | "unknown"
  | "preparing"
  | "forming"
  | "training"
  | "stopping"
  | "finished"
  | "stopped"
  | "failed";

const names: Record<RunState, RunStateName> = {
  [RunState.UNSPECIFIED]: "unknown",
  [RunState.PREPARING]: "preparing",
  [RunState.FORMING]: "forming",
  [RunState.TRAINING]: "training",
  [RunState.STOPPING]: "stopping",
  [RunState.FINISHED]: "finished",
  [RunState.STOPPED]: "stopped",
  [RunState.FAILED]: "failed",
};

export function runStateName(state: RunState): RunStateName {
  return names[state] ?? "unknown";
}

/** True when nothing more will happen. */
export function isFinalState(state: RunStateName): boolean {
  return state === "finished" || state === "stopped" || state === "failed";
}
