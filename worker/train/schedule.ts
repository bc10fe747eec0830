import type { RunConfig } from "../../shared/config/schema.ts";
import { assertNever } from "../../shared/errors.ts";

/** What a schedule depends on. */
export type ScheduleConfig = Pick<RunConfig, "learningRate" | "lrSchedulerType" | "warmupRatio" | "warmupSteps">;

/**
 * Learning rate of `step` (from 1) of `maxSteps`, by the formulas of transformers' `get_*_schedule`
 * (optimization.py): the first step of a warm-up has rate 0, the peak comes right after it.
 */
export function learningRateAt(config: ScheduleConfig, step: number, maxSteps: number): number {
  const warmup = config.warmupSteps > 0 ? config.warmupSteps : Math.ceil(maxSteps * config.warmupRatio);
  const done = step - 1;
  const rising = done / Math.max(1, warmup);
  const progress = (done - warmup) / Math.max(1, maxSteps - warmup);
  switch (config.lrSchedulerType) {
    case "constant":
      return config.learningRate;
    case "constant_with_warmup":
      return config.learningRate * (done < warmup ? rising : 1);
    case "linear":
      return config.learningRate * (done < warmup ? rising : Math.max(0, 1 - progress));
    case "cosine":
      return config.learningRate * (done < warmup ? rising : Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress))));
    default:
      return assertNever(config.lrSchedulerType);
  }
}
