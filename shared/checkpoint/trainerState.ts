import { z } from "zod";
import type { RunConfig } from "../config/schema.ts";
import { CoordError } from "../errors.ts";
import { parseStrictJson } from "../tensors/strictJson.ts";

const count = z.int().nonnegative();

/** One line of the training log: `loss`, `learning_rate` and `grad_norm` of a step, or a held-out `eval_loss`. */
const logEntrySchema = z.object({
  loss: z.number().optional(),
  grad_norm: z.number().optional(),
  learning_rate: z.number().optional(),
  eval_loss: z.number().optional(),
  epoch: z.number(),
  step: count,
});

/** The keys of HuggingFace's trainer_state.json (transformers/trainer_callback.py, `TrainerState`). */
const trainerStateSchema = z.object({
  best_global_step: count.nullable(),
  best_metric: z.number().nullable(),
  best_model_checkpoint: z.string().nullable(),
  epoch: z.number().nonnegative(),
  eval_steps: count,
  global_step: count,
  is_hyper_param_search: z.boolean(),
  is_local_process_zero: z.boolean(),
  is_world_process_zero: z.boolean(),
  log_history: z.array(logEntrySchema),
  logging_steps: count,
  max_steps: count,
  num_input_tokens_seen: count,
  num_train_epochs: z.number().nonnegative(),
  save_steps: count,
  stateful_callbacks: z.record(z.string(), z.unknown()),
  total_flos: z.number().nonnegative(),
  train_batch_size: count,
  trial_name: z.string().nullable(),
  trial_params: z.record(z.string(), z.unknown()).nullable(),
});

export type TrainerState = z.infer<typeof trainerStateSchema>;
export type TrainerLogEntry = z.infer<typeof logEntrySchema>;

/** The state before the first step. */
export function initialTrainerState(config: RunConfig, maxSteps: number): TrainerState {
  return {
    best_global_step: null,
    best_metric: null,
    best_model_checkpoint: null,
    epoch: 0,
    eval_steps: config.evalSteps,
    global_step: 0,
    is_hyper_param_search: false,
    is_local_process_zero: true,
    is_world_process_zero: true,
    log_history: [],
    logging_steps: config.loggingSteps,
    max_steps: maxSteps,
    num_input_tokens_seen: 0,
    num_train_epochs: config.numTrainEpochs,
    save_steps: config.saveSteps,
    stateful_callbacks: {},
    total_flos: 0,
    train_batch_size: config.perDeviceTrainBatchSize,
    trial_name: null,
    trial_params: null,
  };
}

/** As JSON. Throws NOT_FINITE rather than writing `null` for a NaN, which could not be read back. */
export function encodeTrainerState(state: TrainerState): Uint8Array {
  const checked = trainerStateSchema.safeParse(state);
  if (!checked.success) {
    throw new CoordError("NOT_FINITE", `The training log cannot be saved: ${z.prettifyError(checked.error)}`);
  }
  return new TextEncoder().encode(`${JSON.stringify(checked.data, undefined, 2)}\n`);
}

/** Throws CHECKPOINT_INVALID that names `path`. */
export function decodeTrainerState(text: string, path: string): TrainerState {
  try {
    return trainerStateSchema.parse(parseStrictJson(text));
  } catch (thrown) {
    const why = thrown instanceof z.ZodError ? z.prettifyError(thrown) : (thrown as Error).message;
    throw new CoordError("CHECKPOINT_INVALID", `${path} is not a trainer state: ${why}.`, { cause: thrown });
  }
}
