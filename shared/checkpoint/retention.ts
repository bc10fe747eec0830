import { type Age, newestFirst } from "./order.ts";

/** A checkpoint that retention may count or remove. */
export interface Retained extends Age {
  readonly name: string;
}

/**
 * Decides which checkpoints to remove so that `limit` are left (0 keeps all). `justSaved`, known to be valid, always
 * stays, so the last valid one is never removed. Pass only checkpoints of the run itself with a readable manifest:
 * damaged ones and those of others are not ours to remove.
 */
export function chooseRemovals(
  checkpoints: readonly Retained[],
  justSaved: string,
  limit: number,
): { remove: string[]; reason: string } {
  if (limit === 0) return { remove: [], reason: "all checkpoints are kept (--save-total-limit 0)" };
  const others = checkpoints.filter(({ name }) => name !== justSaved).sort(newestFirst);
  const remove = others.slice(limit - 1).map(({ name }) => name);
  return { remove, reason: `the newest ${limit} are kept (--save-total-limit ${limit})` };
}
