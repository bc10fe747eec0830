import type { TrainerState } from "./trainerState.ts";

/**
 * The step of the checkpoint with the lowest held-out loss, among `steps` at which there is one; undefined where no
 * held-out loss was measured at any of them. Of equal losses the later one wins.
 */
export function bestCheckpoint(history: TrainerState["log_history"], steps: readonly number[]): number | undefined {
  let best: { step: number; loss: number } | undefined;
  for (const { eval_loss: loss, step } of history) {
    if (loss === undefined || !steps.includes(step)) continue;
    if (!best || loss < best.loss || (loss === best.loss && step >= best.step)) best = { step, loss };
  }
  return best?.step;
}
