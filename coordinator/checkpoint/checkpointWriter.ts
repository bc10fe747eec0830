import { adapterConfigOf } from "../../shared/checkpoint/adapterConfig.ts";
import type { CheckpointStore } from "../../shared/checkpoint/store.ts";
import type { TrainerState } from "../../shared/checkpoint/trainerState.ts";
import type { TrainingState } from "../../shared/checkpoint/trainingState.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { epochAt, type SamplePlan } from "../../shared/dataset/plan.ts";

export interface WriterOptions {
  readonly runId: string;
  readonly config: RunConfig;
  readonly plan: SamplePlan;
  readonly store: CheckpointStore;
  readonly fingerprints: Readonly<Record<string, string>>;
  /** Absolute paths of the tokenizer's files. */
  readonly tokenizerFiles: readonly string[];
  onSaved(path: string, step: number, tookMs: number): void;
}

/** Writes checkpoints behind training's back, one after the other. */
export class CheckpointWriter {
  #last: Promise<void> = Promise.resolve();

  constructor(private readonly options: WriterOptions) {}

  /** Resolves when the checkpoint is durable. The state's arrays must not change meanwhile. */
  save(state: TrainingState, generation: bigint, trainerState: TrainerState): Promise<void> {
    const saved = this.#last.then(() => this.#write(state, generation, trainerState));
    this.#last = saved.catch(() => {});
    return saved;
  }

  /** Resolves when nothing is being written. */
  idle(): Promise<void> {
    return this.#last;
  }

  async #write(state: TrainingState, generation: bigint, trainerState: TrainerState): Promise<void> {
    const { config, fingerprints, onSaved, plan, runId, store, tokenizerFiles } = this.options;
    const start = performance.now();
    const { path } = await store.save(
      {
        runId,
        generation,
        state,
        trainerState,
        adapterConfig: adapterConfigOf(config, config.model!, state.layout),
        cursor: {
          seed: config.seed,
          epoch: epochAt(plan, state.step),
          slots: plan.slots,
          datasetSize: plan.datasetSize,
        },
        fingerprints,
      },
      tokenizerFiles,
    );
    onSaved(path, state.step, performance.now() - start);
  }
}
