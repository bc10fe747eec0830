import { z } from "zod";
import { CoordError } from "../errors.ts";
import type { TrainerLogEntry } from "./trainerState.ts";

const count = z.int().nonnegative();
const lenient = <T>(schema: z.ZodType<T>) => schema.nullish().catch(undefined);

/** What is used of a trainer_state.json of any version of transformers; keys that make no sense count as absent. */
const foreignSchema = z.looseObject({
  global_step: count,
  epoch: lenient(z.number().nonnegative()),
  max_steps: lenient(z.int().positive()),
  num_train_epochs: lenient(z.number().positive()),
  train_batch_size: lenient(z.int().positive()),
  logging_steps: lenient(z.int().positive()),
  save_steps: lenient(z.int().positive()),
  eval_steps: lenient(z.int().positive()),
  num_input_tokens_seen: lenient(count),
  total_flos: lenient(z.number().nonnegative()),
  best_metric: lenient(z.number()),
  stateful_callbacks: lenient(z.record(z.string(), z.unknown())),
  log_history: z.array(z.record(z.string(), z.unknown())).catch([]),
});

const callbackSchema = z.object({
  args: z.record(z.string(), z.unknown()).catch({}),
  attributes: z.record(z.string(), z.unknown()).catch({}),
});

/** What a callback of the Trainer has kept: the arguments it was made with, and what it has counted. */
type CallbackState = z.infer<typeof callbackSchema>;

/** A trainer_state.json as HuggingFace's Trainer wrote it, reduced to what can be taken over. */
export interface ForeignTrainerState {
  readonly step: number;
  readonly epoch: number;
  readonly maxSteps: number | undefined;
  readonly numTrainEpochs: number | undefined;
  readonly trainBatchSize: number | undefined;
  readonly loggingSteps: number | undefined;
  readonly saveSteps: number | undefined;
  readonly evalSteps: number | undefined;
  readonly inputTokens: number;
  readonly totalFlos: number;
  /** Of whatever metric the Trainer was told to watch. */
  readonly bestMetric: number | undefined;
  /** By the callback's name; of several of one name the first. */
  readonly callbacks: Readonly<Record<string, CallbackState>>;
  /** Lines with a loss of a step or a held-out loss. */
  readonly history: TrainerLogEntry[];
}

/** Throws CHECKPOINT_INVALID that names `path`. Python's NaN and Infinity, which are no JSON, count as absent. */
export function decodeForeignTrainerState(text: string, path: string): ForeignTrainerState {
  let json: unknown;
  try {
    json = JSON.parse(
      text.replaceAll(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (token) => (token[0] === '"' ? token : "null")),
    );
  } catch (thrown) {
    throw new CoordError("CHECKPOINT_INVALID", `${path} is not valid JSON: ${(thrown as Error).message}.`, {
      cause: thrown,
    });
  }
  const parsed = foreignSchema.safeParse(json);
  if (!parsed.success) {
    const why = z.prettifyError(parsed.error);
    throw new CoordError("CHECKPOINT_INVALID", `${path} is no trainer state of HuggingFace's Trainer: ${why}.`);
  }
  const raw = parsed.data;
  return {
    step: raw.global_step,
    epoch: raw.epoch ?? 0,
    maxSteps: raw.max_steps ?? undefined,
    numTrainEpochs: raw.num_train_epochs ?? undefined,
    trainBatchSize: raw.train_batch_size ?? undefined,
    loggingSteps: raw.logging_steps ?? undefined,
    saveSteps: raw.save_steps ?? undefined,
    evalSteps: raw.eval_steps ?? undefined,
    inputTokens: raw.num_input_tokens_seen ?? 0,
    totalFlos: raw.total_flos ?? 0,
    bestMetric: raw.best_metric ?? undefined,
    callbacks: callbacksOf(raw.stateful_callbacks ?? {}),
    history: raw.log_history.flatMap(logEntry),
  };
}

function callbacksOf(saved: Readonly<Record<string, unknown>>): Record<string, CallbackState> {
  const found = Object.entries(saved).flatMap(([name, value]) => {
    const parsed = callbackSchema.safeParse(Array.isArray(value) ? value[0] : value);
    return parsed.success ? [[name, parsed.data] as const] : [];
  });
  return Object.fromEntries(found);
}

function logEntry(line: Readonly<Record<string, unknown>>): TrainerLogEntry[] {
  const value = (key: string) => (typeof line[key] === "number" ? { [key]: line[key] } : {});
  const step = count.safeParse(line["step"]);
  const measured = typeof line["loss"] === "number" || typeof line["eval_loss"] === "number";
  if (!step.success || !measured) return [];
  const epoch = typeof line["epoch"] === "number" ? line["epoch"] : 0;
  const values = ["loss", "grad_norm", "learning_rate", "eval_loss"].map(value);
  return [Object.assign({ epoch, step: step.data }, ...values) as TrainerLogEntry];
}
