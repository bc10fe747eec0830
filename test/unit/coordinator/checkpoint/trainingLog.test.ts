import { describe, expect, it } from "vitest";
import { TrainingLog } from "../../../../coordinator/checkpoint/trainingLog.ts";
import { initialTrainerState } from "../../../../shared/checkpoint/trainerState.ts";
import { runConfigSchema } from "../../../../shared/config/schema.ts";

const figures = (step: number) => ({
  step,
  loss: 10 - step,
  learningRate: 0.1,
  gradientNorm: 1,
  epoch: step / 10,
  tokensPerSecond: 1,
  stepMs: 1,
  etaSeconds: 1,
  inputTokens: step * 100,
  computeMs: 1,
  reduceMs: 1,
});

describe("TrainingLog", () => {
  const create = (loggingSteps: number) =>
    new TrainingLog(initialTrainerState(runConfigSchema.parse({}), 10), loggingSteps);

  it("logs the first, every nth and the last step, and keeps count of all", () => {
    const log = create(4);
    for (let step = 1; step <= 10; step++) log.step(figures(step));
    expect(log.current.log_history.map(({ step }) => step)).toEqual([1, 4, 8, 10]);
    expect(log.current).toMatchObject({ global_step: 10, epoch: 1, num_input_tokens_seen: 1000 });
  });

  it("remembers the best held-out loss, and replaces one that is measured again", () => {
    const log = create(1);
    log.evaluation(3, 0.1, 1);
    log.evaluation(2, 0.2, 2);
    log.evaluation(2.5, 0.3, 3);
    log.evaluation(2.5, 0.3, 3);
    expect(log.current.log_history.map((entry) => entry.eval_loss)).toEqual([3, 2, 2.5]);
    expect(log.current).toMatchObject({ best_metric: 2, best_global_step: 2 });
  });
});
