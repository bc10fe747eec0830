import { join } from "node:path";
import { type AdapterConfig, decodeAdapterConfig } from "../../shared/checkpoint/adapterConfig.ts";
import type { Manifest } from "../../shared/checkpoint/manifest.ts";
import { readTrainerState } from "../../shared/checkpoint/readCheckpoint.ts";
import { readTextFile } from "../../shared/checkpoint/readRegularFile.ts";
import type { CheckpointEntry, CheckpointStore } from "../../shared/checkpoint/store.ts";
import type { TrainerState } from "../../shared/checkpoint/trainerState.ts";
import { checkpointFiles } from "../../shared/checkpoint/types.ts";
import { CoordError } from "../../shared/errors.ts";

/** An adapter_config.json is a page of text. */
const maxConfigBytes = 1024 * 1024;

/** The document of `coord checkpoints show --json`. */
export interface CheckpointDetails {
  readonly name: string;
  readonly path: string;
  readonly run: string;
  readonly generation: number;
  readonly step: number;
  readonly cursor: Manifest["cursor"];
  readonly fingerprints: Manifest["fingerprints"];
  readonly files: Manifest["files"];
  readonly adapter: AdapterConfig;
  /** trainer_state.json without its history. */
  readonly trainer: Omit<TrainerState, "log_history">;
}

/** All that a checkpoint says about itself; its files are not verified. Throws CHECKPOINT_INVALID. */
export async function showCheckpoint(store: CheckpointStore, entry: CheckpointEntry): Promise<CheckpointDetails> {
  const { name, path, step } = entry;
  if (entry.state === "unreadable") throw new CoordError("CHECKPOINT_INVALID", entry.reason);
  const { cursor, files, fingerprints, generation, runId } = entry.manifest;
  const read = async (directory: string) => {
    const configPath = join(directory, checkpointFiles.adapterConfig);
    const text = await readTextFile(configPath, maxConfigBytes);
    const { log_history, ...trainer } = await readTrainerState(directory, step);
    return { adapter: decodeAdapterConfig(text, configPath, "CHECKPOINT_INVALID"), trainer };
  };
  const { adapter, trainer } = await store.withFiles(name, read, [
    checkpointFiles.adapterConfig,
    checkpointFiles.trainerState,
  ]);
  return {
    name,
    path,
    run: runId,
    generation: Number(generation),
    step,
    cursor,
    fingerprints,
    files,
    adapter,
    trainer,
  };
}
