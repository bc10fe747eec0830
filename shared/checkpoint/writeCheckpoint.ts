import { readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { CoordError } from "../errors.ts";
import { safetensorsParts } from "../tensors/safetensors.ts";
import { encodeAdapterConfig } from "./adapterConfig.ts";
import type { FileSystem } from "./fileSystem.ts";
import { fromFlat } from "./flat.ts";
import { encodeManifest, isFileName, type Manifest } from "./manifest.ts";
import { storageError } from "./storageError.ts";
import { encodeTrainerState } from "./trainerState.ts";
import type { TrainingState } from "./trainingState.ts";
import { type CheckpointContents, checkpointFiles, manifestFile } from "./types.ts";
import { sha256Of, writeDurably } from "./writeDurably.ts";

/** One file to be written, in pieces that need no second copy. */
export interface FileToWrite {
  readonly name: string;
  readonly parts: readonly Uint8Array[];
}

/** adapter_model.safetensors: PEFT's names, in layout order. */
export function adapterParts(state: TrainingState): Uint8Array[] {
  return safetensorsParts(fromFlat(state.layout, state.parameters), { format: "pt" });
}

/** optimizer.safetensors: PyTorch's names of AdamW's state; all first moments, then all second moments. */
export function optimizerParts({ layout, firstMoment, secondMoment, step }: TrainingState): Uint8Array[] {
  const tensors = [...fromFlat(layout, firstMoment, "exp_avg."), ...fromFlat(layout, secondMoment, "exp_avg_sq.")];
  return safetensorsParts(tensors, { format: "pt", step: String(step) });
}

/** All files of a checkpoint but the manifest, encoded and read before anything is written. */
export async function filesOf(contents: CheckpointContents, extraFiles: readonly string[]): Promise<FileToWrite[]> {
  const { state, trainerState, adapterConfig } = contents;
  if (trainerState.global_step !== state.step) {
    throw new CoordError("INTERNAL", `The trainer state is of step ${trainerState.global_step}, not ${state.step}.`);
  }
  const files: FileToWrite[] = [
    { name: checkpointFiles.adapterConfig, parts: [encodeAdapterConfig(adapterConfig)] },
    { name: checkpointFiles.adapter, parts: adapterParts(state) },
    { name: checkpointFiles.optimizer, parts: optimizerParts(state) },
    { name: checkpointFiles.trainerState, parts: [encodeTrainerState(trainerState)] },
  ];
  for (const path of extraFiles) {
    const name = basename(path);
    if (!isFileName(name) || files.some((file) => file.name === name)) {
      throw new CoordError("INTERNAL", `${path} cannot be copied into a checkpoint: its name is taken or not plain.`);
    }
    files.push({ name, parts: [await readExtraFile(path)] });
  }
  return files;
}

/** Whether a verified checkpoint holds these parameters and moments. */
export function hasSameState(manifest: Manifest, state: TrainingState): boolean {
  const recorded = (name: string) => manifest.files.find((file) => file.name === name)?.sha256;
  return (
    recorded(checkpointFiles.adapter) === sha256Of(adapterParts(state)) &&
    recorded(checkpointFiles.optimizer) === sha256Of(optimizerParts(state))
  );
}

/** The bytes of manifest.json for files that have been written. */
export function manifestOf(
  { cursor, fingerprints, generation, runId, state }: CheckpointContents,
  files: Manifest["files"],
): Uint8Array {
  return encodeManifest({ runId, generation, step: state.step, cursor, fingerprints: { ...fingerprints }, files });
}

/** Fills a new directory: each file written exclusively, synced and hashed; the manifest last; then the directory. */
export async function writeCheckpoint(
  fs: FileSystem,
  directory: string,
  contents: CheckpointContents,
  files: readonly FileToWrite[],
): Promise<void> {
  const facts: Manifest["files"] = [];
  for (const { name, parts } of files) {
    facts.push({ name, ...(await writeDurably(fs, join(directory, name), parts)) });
  }
  const manifest = manifestOf(contents, facts);
  await writeDurably(fs, join(directory, manifestFile), [manifest]);
  try {
    await fs.syncDirectory(directory);
  } catch (thrown) {
    const bytes = facts.reduce((sum, { size }) => sum + size, manifest.byteLength);
    throw storageError(thrown, "sync the directory", directory, bytes);
  }
}

/** Links are followed: download caches consist of them. */
async function readExtraFile(path: string): Promise<Uint8Array> {
  try {
    if ((await stat(path)).isFile()) return await readFile(path);
  } catch (thrown) {
    throw storageError(thrown, "read", path);
  }
  throw new CoordError("STORAGE_FAILED", `${path} cannot be copied into a checkpoint: it is not a regular file.`);
}
