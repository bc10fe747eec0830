/** What counts of a vote: the digest of the parameters after the step. */
interface Vote {
  readonly parametersDigest: bigint;
}

export type Tally =
  | { readonly kind: "pending" }
  | { readonly kind: "unanimous" }
  /** `outvoted` hold other parameters than more than half of the members; it is empty where no such majority exists. */
  | { readonly kind: "diverged"; readonly outvoted: readonly string[]; readonly reason: string };

/** Decides whether all members have voted, and for the same parameters. */
export function tallyVotes(members: readonly { readonly workerId: string }[], votes: ReadonlyMap<string, Vote>): Tally {
  if (votes.size < members.length) return { kind: "pending" };
  const byDigest = new Map<bigint, string[]>();
  for (const { workerId } of members) {
    const { parametersDigest } = votes.get(workerId)!;
    byDigest.set(parametersDigest, [...(byDigest.get(parametersDigest) ?? []), workerId]);
  }
  if (byDigest.size === 1) return { kind: "unanimous" };
  const camps = [...byDigest.values()].sort((a, b) => a.length - b.length);
  const largest = camps.at(-1)!;
  const others = camps.slice(0, -1).flat();
  return {
    kind: "diverged",
    outvoted: largest.length * 2 > members.length ? others : [],
    reason: `After the same step worker ${others.join(", ")} holds other parameters than worker ${largest.join(", ")}.`,
  };
}
