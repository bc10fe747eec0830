import type { TrainerState } from "../../shared/checkpoint/trainerState.ts";
import type { RunConfig } from "../../shared/config/schema.ts";

/** The settings of `EarlyStoppingCallback` (transformers/trainer_callback.py). */
export interface EarlyStoppingRule {
  /** Held-out losses in a row that may fail to improve; 0 for no early stopping. */
  readonly patience: number;
  /** By how much a loss must be below the best one to count as better. */
  readonly threshold: number;
}

/** Name of the callback among a trainer state's `stateful_callbacks`. */
const callback = "EarlyStoppingCallback";

export function earlyStoppingRule(config: RunConfig): EarlyStoppingRule {
  return { patience: config.earlyStoppingPatience, threshold: config.earlyStoppingThreshold };
}

/** Held-out losses in a row that were not better, as a trainer state of ours or of the Trainer has it. */
export function patienceUsed({ stateful_callbacks }: Pick<TrainerState, "stateful_callbacks">): number {
  const saved = stateful_callbacks[callback] as { attributes?: Record<string, unknown> } | undefined;
  const counter = Number(saved?.attributes?.["early_stopping_patience_counter"] ?? 0);
  return Number.isInteger(counter) && counter >= 0 ? counter : 0;
}

/** The counter after one more held-out loss; `best` is the best one before it. As EarlyStoppingCallback counts. */
export function countPatience(
  used: number,
  loss: number,
  best: number | null,
  { threshold }: EarlyStoppingRule,
): number {
  return best === null || (loss < best && best - loss > threshold) ? 0 : used + 1;
}

/** Why training is to end, or undefined. */
export function whyToStop(used: number, { patience, threshold }: EarlyStoppingRule): string | undefined {
  if (patience === 0 || used < patience) return undefined;
  const by = threshold > 0 ? ` by more than ${threshold}` : "";
  return `The held-out loss has not improved${by} ${used} times in a row (--early-stopping-patience ${patience}).`;
}

/** The callback's state in HuggingFace's own form, so that its Trainer could go on from it, and `TrainerControl` beside it. */
export function earlyStoppingState(used: number, rule: EarlyStoppingRule): TrainerState["stateful_callbacks"] {
  if (rule.patience === 0) return {};
  const { patience: early_stopping_patience, threshold: early_stopping_threshold } = rule;
  return {
    [callback]: {
      args: { early_stopping_patience, early_stopping_threshold },
      attributes: { early_stopping_patience_counter: used },
    },
    TrainerControl: {
      args: {
        should_epoch_stop: false,
        should_evaluate: false,
        should_log: false,
        should_save: true,
        should_training_stop: whyToStop(used, rule) !== undefined,
      },
      attributes: {},
    },
  };
}
