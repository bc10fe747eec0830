import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { safetensorsParts, type TensorToWrite } from "../tensors/safetensors.ts";
import { type AdapterConfig, encodeAdapterConfig } from "./adapterConfig.ts";
import { type FileSystem, hostFileSystem, makeDirectoryDurably } from "./fileSystem.ts";
import { fillNewDirectory } from "./newDirectory.ts";
import { storageError } from "./storageError.ts";
import type { TrainingState } from "./trainingState.ts";
import { checkpointFiles } from "./types.ts";
import { adapterParts, type FileToWrite } from "./writeCheckpoint.ts";
import { writeDurably } from "./writeDurably.ts";

/**
 * Writes the adapter alone, as PEFT's `from_pretrained` reads it: `adapter_config.json` and
 * `adapter_model.safetensors`, each replaced at once or not at all. Throws STORAGE_FAILED.
 */
export async function exportAdapter(
  directory: string,
  state: TrainingState,
  adapterConfig: AdapterConfig,
  options: { readonly fs?: FileSystem } = {},
): Promise<void> {
  const fs = options.fs ?? hostFileSystem;
  const replace = async (name: string, parts: readonly Uint8Array[]) => {
    const temporary = join(directory, `.tmp-${name}-${randomUUID()}`);
    try {
      await writeDurably(fs, temporary, parts);
      await fs.rename(temporary, join(directory, name));
    } catch (thrown) {
      await fs.remove(temporary).catch(() => undefined);
      throw storageError(thrown, "replace", join(directory, name));
    }
  };
  try {
    await makeDirectoryDurably(fs, directory);
    for (const { name, parts } of adapterFiles(state, adapterConfig)) await replace(name, parts);
    await fs.syncDirectory(directory);
  } catch (thrown) {
    throw storageError(thrown, "write the adapter to", directory);
  }
}

/** The two files of a bare adapter. */
export function adapterFiles(state: TrainingState, adapterConfig: AdapterConfig): FileToWrite[] {
  return [
    { name: checkpointFiles.adapter, parts: adapterParts(state) },
    { name: checkpointFiles.adapterConfig, parts: [encodeAdapterConfig(adapterConfig)] },
  ];
}

/** Writes an adapter alone into a new directory, all or nothing. Throws CONFIG_INVALID and STORAGE_FAILED. */
export async function exportAdapterTo(
  directory: string,
  tensors: readonly TensorToWrite[],
  adapterConfig: AdapterConfig,
  fs: FileSystem = hostFileSystem,
): Promise<void> {
  await fillNewDirectory(fs, directory, async (temporary) => {
    await writeDurably(fs, join(temporary, checkpointFiles.adapter), safetensorsParts(tensors, { format: "pt" }));
    await writeDurably(fs, join(temporary, checkpointFiles.adapterConfig), [encodeAdapterConfig(adapterConfig)]);
  });
}
