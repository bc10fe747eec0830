import { adapterConfigOf } from "../../shared/checkpoint/adapterConfig.ts";
import { bestCheckpoint } from "../../shared/checkpoint/bestCheckpoint.ts";
import { within } from "../../shared/checkpoint/location.ts";
import type { CheckpointStore } from "../../shared/checkpoint/store.ts";
import type { TrainerState } from "../../shared/checkpoint/trainerState.ts";
import type { TrainingState } from "../../shared/checkpoint/trainingState.ts";
import { systemClock } from "../../shared/clock.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { epochAt, type SamplePlan } from "../../shared/dataset/plan.ts";
import { type CoordError, toCoordError } from "../../shared/errors.ts";
import { injectedDelayMs } from "../../shared/failpoint.ts";

export interface WriterOptions {
  readonly runId: string;
  readonly config: RunConfig;
  readonly plan: SamplePlan;
  readonly store: CheckpointStore;
  /** Throws when the run belongs to another coordinator by now. */
  checkOwner(): void;
  readonly fingerprints: Readonly<Record<string, string>>;
  /** Absolute paths of the tokenizer's files. */
  readonly tokenizerFiles: readonly string[];
  onSaved(path: string, step: number, tookMs: number): void;
  /** A checkpoint could not be written, and training goes on all the same (--on-save-error continue). */
  onTolerated(step: number, error: CoordError): void;
}

/** Writes checkpoints behind training's back, one after the other. */
export class CheckpointWriter {
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;
  /** Why the newest state is not on disk. */
  #failure: CoordError | undefined;

  constructor(private readonly options: WriterOptions) {}

  /**
   * Resolves when the checkpoint is durable, or could not be written and that is tolerated. The state's arrays must
   * not change meanwhile.
   */
  save(state: TrainingState, generation: bigint, trainerState: TrainerState): Promise<void> {
    const saved = this.#last.then(() => this.#save(state, generation, trainerState));
    this.#waiting++;
    this.#last = saved.catch(() => {}).finally(() => this.#waiting--);
    return saved;
  }

  /** Whether something is being written, or is about to be. */
  get busy(): boolean {
    return this.#waiting > 0;
  }

  /** Resolves when nothing is being written. */
  idle(): Promise<void> {
    return this.#last;
  }

  /** Like idle, but throws what has kept the newest state from being written: at the end nothing is tolerated. */
  async settled(): Promise<void> {
    await this.#last;
    if (this.#failure) throw this.#failure;
  }

  async #save(state: TrainingState, generation: bigint, trainerState: TrainerState): Promise<void> {
    try {
      await this.#write(state, generation, trainerState);
      this.#failure = undefined;
    } catch (thrown) {
      const error = toCoordError(thrown);
      // Only the disk's troubles: another coordinator, or other bytes for the same step, are never to be lived with.
      if (error.code !== "STORAGE_FAILED" || this.options.config.onSaveError === "stop") throw error;
      this.#failure = error;
      this.options.onTolerated(state.step, error);
    }
  }

  async #write(state: TrainingState, generation: bigint, trainerState: TrainerState): Promise<void> {
    const { config, fingerprints, onSaved, plan, runId, store, tokenizerFiles } = this.options;
    const start = performance.now();
    const delayMs = injectedDelayMs("coordinator");
    if (delayMs > 0) await systemClock.sleep(delayMs);
    this.options.checkOwner();
    const { path } = await store.save(
      {
        runId,
        generation,
        state,
        trainerState: { ...trainerState, best_model_checkpoint: await this.#best(state.step, trainerState) },
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

  /** The checkpoint with the best held-out loss, the one being saved among them, as HuggingFace's key has it: a path. */
  async #best(step: number, { log_history }: TrainerState): Promise<string | null> {
    const saved = (await this.options.store.list()).flatMap((entry) =>
      entry.state === "readable" && entry.manifest.runId === this.options.runId ? [entry.step] : [],
    );
    const best = bestCheckpoint(log_history, [...saved, step]);
    return best === undefined ? null : within(this.options.config.output, `checkpoint-${best}`);
  }
}
