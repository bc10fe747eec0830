/** Where a checkpoint stands among others of its run. */
export interface Age {
  readonly generation: bigint;
  readonly step: number;
}

/**
 * Newest first: by generation, then by step. The generation only grows, so this is the order of writing also where a
 * run went back (`--from checkpoint-10`) and checkpoints of the abandoned future are still there.
 */
export function newestFirst(a: Age, b: Age): number {
  if (a.generation !== b.generation) return a.generation > b.generation ? -1 : 1;
  return b.step - a.step;
}
