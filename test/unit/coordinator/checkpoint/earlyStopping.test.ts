import { describe, expect, it } from "vitest";
import { patienceUsed, whyToStop } from "../../../../coordinator/checkpoint/earlyStopping.ts";
import { TrainingLog } from "../../../../coordinator/checkpoint/trainingLog.ts";
import { initialTrainerState } from "../../../../shared/checkpoint/trainerState.ts";
import { runConfigSchema } from "../../../../shared/config/schema.ts";

const rule = { patience: 2, threshold: 0.1 };
const create = (state = initialTrainerState(runConfigSchema.parse({}), 100)) => new TrainingLog(state, 1, rule);
const used = (log: TrainingLog) => patienceUsed(log.current);

describe("early stopping", () => {
  it("counts held-out losses that are not better than the best by more than the threshold, as HuggingFace's does", () => {
    const log = create();
    const counts = [3, 2.95, 2.8, 2.75, 2.74].map((loss, index) => {
      log.evaluation(loss, 0, index);
      return used(log);
    });
    // 2.95 is the best one from then on, though it did not count as better.
    expect(counts).toEqual([0, 1, 0, 1, 2]);
    expect(log.stopReason).toContain(
      "has not improved by more than 0.1 2 times in a row (--early-stopping-patience 2)",
    );
  });

  it("goes on counting from a saved state, instead of beginning again", () => {
    const before = create();
    before.evaluation(3, 0, 10);
    before.evaluation(3, 0, 20);
    const after = create(JSON.parse(JSON.stringify(before.current)));
    expect(after.stopReason).toBeUndefined();
    after.evaluation(3, 0, 30);
    expect(after.stopReason).toBeDefined();
    expect(after.current.stateful_callbacks).toMatchObject({
      TrainerControl: { args: { should_training_stop: true } },
    });
    // A step that is measured again because its coordinator was lost counts once.
    before.evaluation(3, 0, 20);
    expect(used(before)).toBe(1);
    before.rewind(after.current);
    expect(used(before)).toBe(2);
  });

  it("is off without a patience, and takes another one for what has been counted", () => {
    expect(whyToStop(100, { patience: 0, threshold: 0 })).toBeUndefined();
    const log = create();
    for (const step of [1, 2, 3]) log.evaluation(3, 0, step);
    expect(new TrainingLog(log.current, 1, { patience: 5, threshold: 0 }).stopReason).toBeUndefined();
    expect(new TrainingLog(log.current, 1).stopReason).toBeUndefined();
  });

  it("keeps what else is in a saved state, and the names of trackers", () => {
    const state = {
      ...initialTrainerState(runConfigSchema.parse({}), 100),
      stateful_callbacks: { Other: { args: {} } },
    };
    const log = create(state);
    log.tracked("TensorBoardCallback", { run_id: "r" });
    expect(log.current.stateful_callbacks).toMatchObject({
      Other: { args: {} },
      TensorBoardCallback: { args: {}, attributes: { run_id: "r" } },
      EarlyStoppingCallback: {
        args: { early_stopping_patience: 2, early_stopping_threshold: 0.1 },
        attributes: { early_stopping_patience_counter: 0 },
      },
    });
  });
});
