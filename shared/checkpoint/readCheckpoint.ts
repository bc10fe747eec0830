import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { CoordError, toCoordError } from "../errors.ts";
import { layOut, type ParamLayout } from "../tensors/layout.ts";
import { openSafetensors, type SafetensorsFile } from "../tensors/safetensors.ts";
import { decodeAdapterConfig } from "./adapterConfig.ts";
import { type Tensor, toFlat } from "./flat.ts";
import { decodeManifest, type Manifest } from "./manifest.ts";
import { hashFile, readTextFile } from "./readRegularFile.ts";
import { decodeTrainerState, type TrainerState } from "./trainerState.ts";
import type { TrainingState } from "./trainingState.ts";
import { type CheckpointContents, checkpointFiles, manifestFile } from "./types.ts";

const maxJsonBytes = 256 * 1024 * 1024;

/** Reads `manifest.json` of a checkpoint directory without verifying the other files. Throws CHECKPOINT_INVALID. */
export async function readManifest(directory: string, step: number): Promise<Manifest> {
  const stat = await lstat(directory).catch((thrown: unknown) => {
    throw invalid(`${directory} cannot be read: ${(thrown as Error).message}`, thrown);
  });
  if (!stat.isDirectory()) throw invalid(`${directory} is not a directory`);
  const path = join(directory, manifestFile);
  const manifest = decodeManifest(await readTextFile(path, 1024 * 1024), path);
  if (manifest.step !== step) throw invalid(`${path} is of step ${manifest.step}, not of step ${step}`);
  return manifest;
}

/** Checks size and SHA-256 of every file that the manifest lists. Throws CHECKPOINT_INVALID. */
export async function verifyCheckpoint(directory: string, step: number): Promise<Manifest> {
  const manifest = await readManifest(directory, step);
  for (const facts of manifest.files) await checkFile(directory, facts);
  return manifest;
}

/** Checks size and SHA-256 of one file of a checkpoint. Throws CHECKPOINT_INVALID. */
export async function checkFile(directory: string, { name, sha256, size }: Manifest["files"][number]): Promise<void> {
  const path = join(directory, name);
  const found = await hashFile(path);
  if (found.size < size) throw invalid(`${path} is truncated: expected ${size} bytes, file has ${found.size}`);
  if (found.size > size) throw invalid(`${path} is too long: expected ${size} bytes, file has ${found.size}`);
  if (found.sha256 !== sha256) throw invalid(`${path} is damaged: its SHA-256 is not the manifest's`);
}

/** Whether every file that the manifest lists has its size: what can be known of a checkpoint without reading it. */
export async function hasRightSizes(directory: string, manifest: Manifest): Promise<boolean> {
  const found = await Promise.all(
    manifest.files.map(({ name }) => lstat(join(directory, name)).catch(() => undefined)),
  );
  return manifest.files.every(({ size }, index) => found[index]?.isFile() && found[index].size === size);
}

/** Verifies a checkpoint and reads it. Throws CHECKPOINT_INVALID. */
export async function readCheckpoint(directory: string, step: number): Promise<CheckpointContents> {
  const manifest = await verifyCheckpoint(directory, step);
  const { runId, generation, cursor, fingerprints } = manifest;
  const trainerState = await readTrainerState(directory, step);
  const configPath = join(directory, checkpointFiles.adapterConfig);
  const adapterConfig = decodeAdapterConfig(
    await readTextFile(configPath, maxJsonBytes),
    configPath,
    "CHECKPOINT_INVALID",
  );
  const state = await readTrainingState(directory, step);
  return { runId, generation, state, trainerState, adapterConfig, cursor, fingerprints };
}

/** Reads `trainer_state.json` without verifying its hash. Throws CHECKPOINT_INVALID. */
export async function readTrainerState(directory: string, step: number): Promise<TrainerState> {
  const path = join(directory, checkpointFiles.trainerState);
  const trainerState = decodeTrainerState(await readTextFile(path, maxJsonBytes), path);
  if (trainerState.global_step === step) return trainerState;
  throw invalid(`${path} is of step ${trainerState.global_step}, not of step ${step}`);
}

async function readTrainingState(directory: string, step: number): Promise<TrainingState> {
  const adapterPath = join(directory, checkpointFiles.adapter);
  const { layout, parameters } = await withSafetensors(adapterPath, async (file) => {
    const layout = layOut([...file.entries].map(([name, { shape }]) => ({ name, shape })));
    return { layout, parameters: await readFlat(file, layout, "") };
  });
  const optimizerPath = join(directory, checkpointFiles.optimizer);
  return withSafetensors(optimizerPath, async (file) => {
    if (file.metadata.get("step") !== String(step)) {
      throw invalid(`${optimizerPath} is of step ${file.metadata.get("step")}, not of step ${step}`);
    }
    if (file.entries.size !== 2 * layout.tensors.length) {
      throw invalid(`${optimizerPath} has ${file.entries.size} tensors, not two for each of ${layout.tensors.length}`);
    }
    const firstMoment = await readFlat(file, layout, "exp_avg.");
    const secondMoment = await readFlat(file, layout, "exp_avg_sq.");
    return { step, layout, parameters, firstMoment, secondMoment };
  });
}

async function readFlat(file: SafetensorsFile, layout: ParamLayout, prefix: string): Promise<Float32Array> {
  const tensors = new Map<string, Tensor>();
  for (const { name } of layout.tensors) {
    const shape = file.entries.get(prefix + name)?.shape ?? [];
    tensors.set(name, { shape, data: await file.readFloat32(prefix + name) });
  }
  return toFlat(layout, tensors, file.path);
}

async function withSafetensors<Result>(path: string, use: (file: SafetensorsFile) => Promise<Result>): Promise<Result> {
  const file = await openSafetensors(path, { code: "CHECKPOINT_INVALID" });
  try {
    return await use(file);
  } catch (thrown) {
    throw invalid(toCoordError(thrown).message.replace(/\.$/, ""), thrown);
  } finally {
    await file.close();
  }
}

function invalid(what: string, cause?: unknown): CoordError {
  return new CoordError("CHECKPOINT_INVALID", `${what}.`, { cause });
}
