import { slotsOf } from "./slotMapping.ts";

/** A worker that is connected and ready for an assignment. */
export interface Candidate {
  readonly workerId: string;
  readonly nodeRank: number;
  readonly localRank: number;
  /** Steps whose state the worker holds: the committed one, and one it has voted for. Empty for a fresh process. */
  readonly heldSteps: readonly number[];
}

export interface FormationState {
  readonly candidates: readonly Candidate[];
  /** Workers that the run wants. */
  readonly worldSize: number;
  /** Workers that are enough once the missing ones have been waited for. */
  readonly minSize: number;
  /** True when the missing ones have had their time. */
  readonly overdue: boolean;
  readonly slots: number;
  /** Steps committed. */
  readonly step: number;
  /** True when every worker can make the state at `step` from the seed alone. */
  readonly stateFromSeed: boolean;
  /** True when the coordinator itself holds the state at `step`. */
  readonly coordinatorHoldsState: boolean;
}

export interface MemberPlan {
  readonly workerId: string;
  readonly rank: number;
  readonly slots: readonly number[];
  readonly stateSource: "initialize" | "keep" | "download";
}

export type Formation =
  /** Not everybody is here. */
  | { readonly kind: "wait"; readonly reason: string }
  /** A new generation; `uploader` is the member that must hand its state to the others. */
  | {
      readonly kind: "form";
      readonly members: readonly MemberPlan[];
      readonly uploader?: string;
      readonly reason: string;
    }
  /** Everybody is here but nobody holds the state: go back to a checkpoint. */
  | { readonly kind: "state-lost"; readonly reason: string };

/** Decides whether a generation can be formed, and who gets which rank, slots and state. */
export function formGeneration(state: FormationState): Formation {
  const { candidates, minSize, overdue, worldSize, step } = state;
  if (candidates.length < (overdue ? minSize : worldSize)) {
    return { kind: "wait", reason: `Waiting for workers: ${candidates.length} of ${worldSize} are here.` };
  }
  const all = candidates.length < worldSize ? "The" : "All";
  const missing = candidates.length < worldSize ? ` that are left of ${worldSize}` : "";
  const ordered = [...candidates].sort((a, b) => a.nodeRank - b.nodeRank || a.localRank - b.localRank);
  const holders = ordered.filter((candidate) => candidate.heldSteps.includes(step));
  const obtainable = state.stateFromSeed || state.coordinatorHoldsState || holders.length > 0;
  if (!obtainable) {
    return { kind: "state-lost", reason: `No worker holds the state at step ${step} any more.` };
  }
  const members = ordered.map((candidate, rank): MemberPlan => {
    const slots = slotsOf(rank, ordered.length, state.slots);
    const stateSource = holders.includes(candidate) ? "keep" : state.stateFromSeed ? "initialize" : "download";
    return { workerId: candidate.workerId, rank, slots, stateSource };
  });
  const joiners = members.filter((member) => member.stateSource === "download").length;
  const uploader = joiners > 0 && !state.coordinatorHoldsState ? holders[0]?.workerId : undefined;
  return {
    kind: "form",
    members,
    ...(uploader === undefined ? {} : { uploader }),
    reason:
      joiners === 0
        ? `${all} ${members.length} workers${missing} are ready at step ${step}.`
        : `${all} ${members.length} workers${missing} are ready at step ${step}; ${joiners} download the state${uploader === undefined ? "" : ` of worker ${uploader}`}.`,
  };
}
