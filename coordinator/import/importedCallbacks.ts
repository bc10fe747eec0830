import type { ForeignTrainerState } from "../../shared/checkpoint/foreignTrainerState.ts";
import type { EarlyStoppingRule } from "../checkpoint/earlyStopping.ts";

/** Early stopping as the Trainer was told to do it, if it was; it needs held-out losses at certain steps. */
export function importedEarlyStopping({ callbacks, evalSteps }: ForeignTrainerState): EarlyStoppingRule | undefined {
  const { early_stopping_patience: patience, early_stopping_threshold: threshold } =
    callbacks["EarlyStoppingCallback"]?.args ?? {};
  if (!evalSteps || typeof patience !== "number" || !Number.isInteger(patience) || patience < 1) return undefined;
  return { patience, threshold: typeof threshold === "number" && threshold >= 0 ? threshold : 0 };
}

/** Callbacks whose state means nothing here. */
export function callbacksLeftOut({ callbacks }: ForeignTrainerState): string[] {
  return Object.keys(callbacks)
    .filter((name) => name !== "EarlyStoppingCallback" && name !== "TrainerControl")
    .map((name) => `the state of ${name}, a callback that coord has not`);
}
