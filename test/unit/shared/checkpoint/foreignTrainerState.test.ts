import { describe, expect, it } from "vitest";
import { decodeForeignTrainerState } from "../../../../shared/checkpoint/foreignTrainerState.ts";

const decode = (text: string) => decodeForeignTrainerState(text, "trainer_state.json");

describe("decodeForeignTrainerState", () => {
  it("takes over what it knows and leaves out what makes no sense", () => {
    const state = decode(
      JSON.stringify({
        global_step: 7,
        epoch: 0.5,
        max_steps: 70,
        num_train_epochs: 5,
        train_batch_size: 2,
        logging_steps: 0.1,
        save_steps: 500,
        eval_steps: null,
        best_metric: 1.5,
        new_key: [1],
      }),
    );
    expect(state).toMatchObject({
      step: 7,
      epoch: 0.5,
      maxSteps: 70,
      numTrainEpochs: 5,
      trainBatchSize: 2,
      saveSteps: 500,
    });
    expect(state).toMatchObject({
      loggingSteps: undefined,
      evalSteps: undefined,
      inputTokens: 0,
      bestMetric: 1.5,
      history: [],
    });
  });

  it("reads Python's NaN and Infinity as absent, but not inside text", () => {
    const { history } = decode(`{"global_step": 2, "log_history": [
      {"step": 1, "epoch": 0.1, "loss": 2.5, "grad_norm": NaN, "learning_rate": 1e-4, "note": "NaN \\" Infinity"},
      {"step": 2, "epoch": 0.2, "loss": NaN, "eval_loss": -Infinity},
      {"step": 2, "epoch": 0.2, "eval_loss": 2.0, "eval_runtime": 1},
      {"step": 2, "train_runtime": 3}]}`);
    expect(history).toEqual([
      { step: 1, epoch: 0.1, loss: 2.5, learning_rate: 1e-4 },
      { step: 2, epoch: 0.2, eval_loss: 2 },
    ]);
  });

  it.each(["", "{", "[]", '{"global_step": -1}', '{"epoch": 1}'])("refuses %j by name", (text) => {
    expect(() => decode(text)).toThrow(/^trainer_state\.json is /);
  });
});
