/** What is known of an output directory when a run wants it. */
export interface OutputObservation {
  /** The run that claimed it before, if any. */
  readonly claim: { readonly runId: string; readonly goesOn: boolean } | undefined;
  /** Names in the directory that are results of training: checkpoint-N, adapter_model.safetensors. */
  readonly results: readonly string[];
}

/** Decides whether a run may have an output directory. */
export function decideClaim(
  runId: string,
  observed: OutputObservation,
): { decision: "claim" | "refuse"; reason: string } {
  const { claim, results } = observed;
  if (claim?.runId === runId) return { decision: "claim", reason: "it is this run's already" };
  if (claim?.goesOn) return { decision: "refuse", reason: `it belongs to run ${claim.runId}, which is going on` };
  if (results.length > 0) {
    const whose = claim ? `of run ${claim.runId}` : "of another program or host";
    return { decision: "refuse", reason: `it holds ${results[0]} ${whose}` };
  }
  return { decision: "claim", reason: claim ? `run ${claim.runId} is over and left nothing in it` : "nobody has it" };
}

/** True for names of files and directories that training leaves in an output directory. */
export function isTrainingResult(name: string): boolean {
  return /^checkpoint-\d+$/.test(name) || name === "adapter_model.safetensors";
}
