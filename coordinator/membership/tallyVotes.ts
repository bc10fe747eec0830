/** What counts of a vote: the digest of the parameters after the step. */
interface Vote {
  readonly parametersDigest: bigint;
}

export type Tally =
  | { readonly kind: "pending" }
  | { readonly kind: "unanimous" }
  | { readonly kind: "diverged"; readonly reason: string };

/** Decides whether all members have voted, and for the same parameters. */
export function tallyVotes(members: readonly { readonly workerId: string }[], votes: ReadonlyMap<string, Vote>): Tally {
  const byDigest = new Map<bigint, string[]>();
  for (const { workerId } of members) {
    const vote = votes.get(workerId);
    if (vote) byDigest.set(vote.parametersDigest, [...(byDigest.get(vote.parametersDigest) ?? []), workerId]);
  }
  if (byDigest.size > 1) {
    const camps = [...byDigest.values()].sort((a, b) => a.length - b.length);
    const reason = `After the same step worker ${camps[0]!.join(", ")} holds other parameters than worker ${camps.slice(1).flat().join(", ")}.`;
    return { kind: "diverged", reason };
  }
  return votes.size < members.length ? { kind: "pending" } : { kind: "unanimous" };
}
