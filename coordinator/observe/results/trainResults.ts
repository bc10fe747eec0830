import type { LossPoint, RunHistory } from "./runHistory.ts";

/**
 * train_results.json with the names of HuggingFace's Trainer (transformers/trainer.py, `speed_metrics`), and where the
 * time went. Seconds, samples, tokens; `goodput` is the share of the runtime spent in steps that were kept.
 */
export function trainResults(history: RunHistory) {
  const { epoch, inputTokens, runtimeMs, training } = history;
  const seconds = runtimeMs / 1000;
  const samples = Math.round(epoch * history.trainSize);
  const perSecond = (count: number) => (seconds > 0 ? rounded(count / seconds) : 0);
  return {
    epoch: rounded(epoch),
    train_loss: training.reduce((total, { loss }) => total + loss, 0) / Math.max(1, training.length),
    train_runtime: rounded(seconds),
    train_samples: history.trainSize,
    train_samples_per_second: perSecond(samples),
    train_steps_per_second: perSecond(training.length),
    train_tokens_per_second: perSecond(inputTokens),
    num_input_tokens_seen: inputTokens,
    goodput: runtimeMs > 0 ? Math.min(1, rounded(history.productiveMs / runtimeMs)) : 0,
    restarts: history.restarts.length,
    lost_to_restarts_seconds: rounded(history.restartMs / 1000),
    lost_to_repeated_steps_seconds: rounded(history.repeatedMs / 1000),
  };
}

/** all_results.json: the same and the newest held-out loss, where there is one. */
export function allResults(history: RunHistory) {
  const newest = history.evaluations.at(-1);
  return {
    ...trainResults(history),
    ...(newest && {
      eval_loss: newest.loss,
      perplexity: Math.exp(newest.loss),
      eval_samples: history.evaluationSize,
    }),
  };
}

/** experiment_results.json: what was run, with what settings, what came out, and how the losses went on the way. */
export function experimentResults(
  history: RunHistory,
  { config, runId }: { readonly runId: string; readonly config: Readonly<Record<string, unknown>> },
) {
  const { evaluations, restarts, training } = history;
  return {
    run: runId,
    settings: config,
    results: allResults(history),
    first_train_loss: training[0]?.loss,
    final_train_loss: training.at(-1)?.loss,
    best_train_loss: lowest(training),
    best_eval_loss: lowest(evaluations),
    eval_losses: evaluations,
    steps_after_restarts: restarts,
  };
}

/** The point with the lowest loss that is a number, the first of equals. */
export function lowest(points: readonly LossPoint[]): LossPoint | undefined {
  return points.reduce<LossPoint | undefined>(
    (best, point) => (Number.isFinite(point.loss) && !(best && best.loss <= point.loss) ? point : best),
    undefined,
  );
}

/** Four decimals, as the Trainer writes them. */
function rounded(value: number): number {
  return Math.round(value * 1e4) / 1e4;
}
