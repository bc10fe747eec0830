import { describe, expect, it } from "vitest";
import { decodeTrainerState, encodeTrainerState } from "../../../../shared/checkpoint/trainerState.ts";
import { checkpointContents } from "../../../support/checkpointContents.ts";

const { trainerState } = checkpointContents(20);
const encode = (state: typeof trainerState) => new TextDecoder().decode(encodeTrainerState(state));

describe("trainer_state.json", () => {
  it("has HuggingFace's keys and is read back as it was", () => {
    expect(decodeTrainerState(encode(trainerState), "t.json")).toEqual(trainerState);
    expect(Object.keys(JSON.parse(encode(trainerState))).sort()).toEqual([
      "best_global_step",
      "best_metric",
      "best_model_checkpoint",
      "epoch",
      "eval_steps",
      "global_step",
      "is_hyper_param_search",
      "is_local_process_zero",
      "is_world_process_zero",
      "log_history",
      "logging_steps",
      "max_steps",
      "num_input_tokens_seen",
      "num_train_epochs",
      "save_steps",
      "stateful_callbacks",
      "total_flos",
      "train_batch_size",
      "trial_name",
      "trial_params",
    ]);
  });

  it("refuses to hide a NaN or infinite loss", () => {
    for (const loss of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const state = { ...trainerState, log_history: [{ loss, epoch: 0, step: 1 }] };
      expect(() => encodeTrainerState(state)).toThrow(expect.objectContaining({ code: "NOT_FINITE" }));
    }
  });

  it("names the file and the key of a state that is not one", () => {
    expect(() => decodeTrainerState('{"global_step":-1}', "t.json")).toThrow(
      /t\.json is not a trainer state.*global_step/s,
    );
    expect(() => decodeTrainerState("", "t.json")).toThrow("t.json is not a trainer state");
  });
});
