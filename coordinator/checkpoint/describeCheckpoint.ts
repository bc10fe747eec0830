import { basename } from "node:path";
import { readTrainerState } from "../../shared/checkpoint/readCheckpoint.ts";
import type { CheckpointEntry, CheckpointStore } from "../../shared/checkpoint/store.ts";
import type { TrainerState } from "../../shared/checkpoint/trainerState.ts";
import { checkpointFiles } from "../../shared/checkpoint/types.ts";

/** One checkpoint of `coord checkpoints list --json`. Its manifest has been read, its files have not been verified. */
export interface CheckpointDocument {
  readonly name: string;
  readonly path: string;
  readonly step: number;
  readonly readable: boolean;
  /** Why it is not readable. */
  readonly reason: string | null;
  readonly run: string | null;
  readonly generation: number | null;
  readonly epoch: number | null;
  /** Of all files. */
  readonly bytes: number | null;
  readonly savedAtMs: number | null;
  /** Training loss and held-out loss logged at its step. */
  readonly loss: number | null;
  readonly evalLoss: number | null;
  /** It has the best held-out loss of those that are there. */
  readonly best: boolean;
}

/** Describes all checkpoints of a store, newest first. */
export async function describeCheckpoints(store: CheckpointStore): Promise<CheckpointDocument[]> {
  const entries = await store.list();
  const states = await Promise.all(entries.map((entry) => trainerStateOf(store, entry)));
  // The newest one knows best.
  const best = states.find((state) => state !== undefined)?.best_model_checkpoint;
  return entries.map((entry, index) => describe(entry, states[index], best != null && basename(best) === entry.name));
}

function describe(entry: CheckpointEntry, state: TrainerState | undefined, best: boolean): CheckpointDocument {
  const { name, path, step } = entry;
  const manifest = entry.state === "readable" ? entry.manifest : undefined;
  const logged = state?.log_history.filter((line) => line.step === step) ?? [];
  return {
    name,
    path,
    step,
    readable: manifest !== undefined,
    reason: entry.state === "unreadable" ? entry.reason : null,
    run: manifest?.runId ?? null,
    generation: manifest ? Number(manifest.generation) : null,
    epoch: manifest?.cursor.epoch ?? null,
    bytes: manifest?.files.reduce((sum, { size }) => sum + size, 0) ?? null,
    savedAtMs: entry.state === "readable" ? entry.savedAtMs : null,
    loss: logged.findLast(({ loss }) => loss !== undefined)?.loss ?? null,
    evalLoss: logged.findLast(({ eval_loss }) => eval_loss !== undefined)?.eval_loss ?? null,
    best,
  };
}

async function trainerStateOf(store: CheckpointStore, { name, state, step }: CheckpointEntry) {
  if (state === "unreadable") return undefined;
  const read = (directory: string) => readTrainerState(directory, step);
  return store.withFiles(name, read, [checkpointFiles.trainerState]).catch(() => undefined);
}
