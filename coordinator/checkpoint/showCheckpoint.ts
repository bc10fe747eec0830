import { join } from "node:path";
import { type AdapterConfig, decodeAdapterConfig } from "../../shared/checkpoint/adapterConfig.ts";
import type { Manifest } from "../../shared/checkpoint/manifest.ts";
import { readTrainerState } from "../../shared/checkpoint/readCheckpoint.ts";
import { readTextFile } from "../../shared/checkpoint/readRegularFile.ts";
import type { CheckpointEntry } from "../../shared/checkpoint/store.ts";
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
export async function showCheckpoint(entry: CheckpointEntry): Promise<CheckpointDetails> {
  const { name, path, step } = entry;
  if (entry.state === "unreadable") throw new CoordError("CHECKPOINT_INVALID", entry.reason);
  const { cursor, files, fingerprints, generation, runId } = entry.manifest;
  const configPath = join(path, checkpointFiles.adapterConfig);
  const adapter = decodeAdapterConfig(await readTextFile(configPath, maxConfigBytes), configPath, "CHECKPOINT_INVALID");
  const { log_history, ...trainer } = await readTrainerState(path, step);
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
