import type { AdapterConfig } from "./adapterConfig.ts";
import type { TrainerState } from "./trainerState.ts";
import type { TrainingState } from "./trainingState.ts";

/** With the step, what the samples of every later step are a pure function of. */
export interface DataCursor {
  readonly seed: number;
  /** Epochs done, fractional. */
  readonly epoch: number;
  /** Logical shards of a global batch, fixed for the run. */
  readonly slots: number;
  /** Samples in the training set. */
  readonly datasetSize: number;
}

/** What one checkpoint holds, tokenizer files aside. */
export interface CheckpointContents {
  readonly runId: string;
  /** Membership epoch in which the state was reached; a uint64. */
  readonly generation: bigint;
  readonly state: TrainingState;
  readonly trainerState: TrainerState;
  readonly adapterConfig: AdapterConfig;
  readonly cursor: DataCursor;
  /** Hashes of what must not change between stop and resume: data set, base model, settings. */
  readonly fingerprints: Readonly<Record<string, string>>;
}

/** Names of the files that every checkpoint has, beside `manifest.json`. */
export const checkpointFiles = {
  adapterConfig: "adapter_config.json",
  adapter: "adapter_model.safetensors",
  optimizer: "optimizer.safetensors",
  trainerState: "trainer_state.json",
} as const;

export const manifestFile = "manifest.json";
