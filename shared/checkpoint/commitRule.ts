/** What is at the place of the checkpoint to be saved. */
export type Occupant =
  | { readonly state: "nothing" }
  /** Its manifest or a file does not verify. */
  | { readonly state: "damaged"; readonly reason: string }
  /** It verifies. `sameBytes`: adapter and optimizer are those about to be saved. */
  | { readonly state: "valid"; readonly generation: bigint; readonly sameBytes: boolean };

/** What the directory holds. */
export interface DirectoryState {
  /** Another run with a checkpoint here, if any. */
  readonly otherRun: string | undefined;
  /** Highest generation among the run's own checkpoints. */
  readonly newestGeneration: bigint | undefined;
  readonly occupant: Occupant;
}

export type CommitDecision =
  /** Rename into the free place. */
  | { readonly action: "commit"; readonly reason: string }
  /** Move the damaged one aside, for a person to look at, then rename. */
  | { readonly action: "quarantine"; readonly reason: string }
  /** Put the old one away, rename, then remove the old one. */
  | { readonly action: "replace"; readonly reason: string }
  /** The same checkpoint is there: nothing to write. */
  | { readonly action: "keep"; readonly reason: string }
  | {
      readonly action: "refuse";
      readonly code: "OUTPUT_IN_USE" | "STALE_GENERATION" | "DIVERGED";
      readonly reason: string;
    };

/**
 * Decides how a checkpoint of `generation` takes its place. A directory belongs to one run. A writer whose generation
 * is over (a coordinator that has been replaced without noticing) changes nothing. A valid checkpoint gives way only to
 * a higher generation: the run went back and came by again. In the same generation a step has one state only.
 */
export function decideCommit(generation: bigint, directory: DirectoryState): CommitDecision {
  const { otherRun, newestGeneration, occupant } = directory;
  if (otherRun !== undefined) {
    return {
      action: "refuse",
      code: "OUTPUT_IN_USE",
      reason: `it holds checkpoints of run ${otherRun}; choose another --output or move them away`,
    };
  }
  if (newestGeneration !== undefined && newestGeneration > generation) {
    return {
      action: "refuse",
      code: "STALE_GENERATION",
      reason: `it holds a checkpoint of generation ${newestGeneration}, this one is of generation ${generation}: another coordinator has taken the run over`,
    };
  }
  switch (occupant.state) {
    case "nothing":
      return { action: "commit", reason: "the place is free" };
    case "damaged":
      return { action: "quarantine", reason: `the one that is there is damaged: ${occupant.reason}` };
    case "valid":
      if (occupant.generation < generation) {
        return {
          action: "replace",
          reason: `the one that is there is of the earlier generation ${occupant.generation}`,
        };
      }
      if (occupant.sameBytes) return { action: "keep", reason: "the same checkpoint is there already" };
      return {
        action: "refuse",
        code: "DIVERGED",
        reason: `a checkpoint of the same step and generation ${generation} is there with other bytes`,
      };
  }
}
