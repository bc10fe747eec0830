import type { RunEvent } from "../eventLog.ts";

/** The values of one step, by the names that HuggingFace's Trainer gives them. */
export interface StepScalars {
  readonly step: number;
  readonly values: Readonly<Record<string, number>>;
}

const trainTags = {
  loss: "train/loss",
  learningRate: "train/learning_rate",
  gradientNorm: "train/grad_norm",
  epoch: "train/epoch",
  tokensPerSecond: "train/tokens_per_second",
  stepMs: "train/step_ms",
} as const;

/** What an event says in numbers; undefined for one that says nothing. */
export function scalarsOf({ data, kind }: RunEvent): StepScalars | undefined {
  const { loss, step } = data;
  if (typeof step !== "number") return undefined;
  if (kind === "evaluation" && typeof loss === "number") return { step, values: { "eval/loss": loss } };
  if (kind !== "step") return undefined;
  const values = Object.entries(trainTags).flatMap(([field, tag]) => {
    const value = data[field];
    return typeof value === "number" ? [[tag, value] as const] : [];
  });
  return { step, values: Object.fromEntries(values) };
}
