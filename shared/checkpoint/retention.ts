import { type Age, newestFirst } from "./order.ts";

/** A checkpoint that retention may count or remove. */
export interface Retained extends Age {
  readonly name: string;
}

/** What is to be kept. */
export interface RetentionRule {
  /** Checkpoints to keep; 0 for all. */
  readonly limit: number;
  /** Checkpoints at multiples of this many steps are kept beyond the limit; 0 for none. */
  readonly milestoneSteps: number;
  /** The one with the best held-out loss, which is kept and counts. */
  readonly best: string | undefined;
}

/**
 * Decides which checkpoints to remove. `newest`, known to be valid, always stays, so the last valid one is never
 * removed. As in HuggingFace's Trainer the best one stays too and counts as one of `limit`, which may make it two
 * where the limit is one. Pass only checkpoints of the run itself with a readable manifest: damaged ones and those of
 * others are not ours to remove.
 */
export function chooseRemovals(
  checkpoints: readonly Retained[],
  newest: string,
  { best, limit, milestoneSteps }: RetentionRule,
): { remove: string[]; reason: string } {
  if (limit === 0) return { remove: [], reason: "all checkpoints are kept (--save-total-limit 0)" };
  const isMilestone = ({ step }: Retained) => milestoneSteps > 0 && step > 0 && step % milestoneSteps === 0;
  const isPinned = ({ name }: Retained) => name === newest || name === best;
  const counted = checkpoints.filter((checkpoint) => isPinned(checkpoint) || !isMilestone(checkpoint));
  const places = Math.max(0, limit - counted.filter(isPinned).length);
  const others = counted.filter((checkpoint) => !isPinned(checkpoint)).sort(newestFirst);
  const kept = [
    `the newest ${limit} are kept (--save-total-limit ${limit})`,
    ...(best === undefined ? [] : [`the best one, ${best}, too`]),
    ...(milestoneSteps === 0 ? [] : [`those at multiples of ${milestoneSteps} steps, too`]),
  ];
  return { remove: others.slice(places).map(({ name }) => name), reason: kept.join(", ") };
}
