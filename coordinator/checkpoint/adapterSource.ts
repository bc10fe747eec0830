import { join } from "node:path";
import type { AdapterConfig } from "../../shared/checkpoint/adapterConfig.ts";
import { fromFlat, type Tensor } from "../../shared/checkpoint/flat.ts";
import { loadAdapter } from "../../shared/checkpoint/loadAdapter.ts";
import { isS3 } from "../../shared/checkpoint/location.ts";
import { openStore } from "../../shared/checkpoint/openStore.ts";
import { checkpointFiles } from "../../shared/checkpoint/types.ts";
import { CoordError } from "../../shared/errors.ts";
import { isPresent } from "../../shared/tensors/modelFiles.ts";

/** An adapter that can be exported. */
export interface AdapterSource {
  /** The checkpoint or directory it is from. */
  readonly path: string;
  readonly config: AdapterConfig;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/**
 * Reads the checkpoint named, else the newest valid one of a directory, else a bare PEFT adapter in it. Throws
 * CHECKPOINT_INVALID or ADAPTER_INVALID.
 */
export async function openAdapterSource(directory: string, name: string | undefined): Promise<AdapterSource> {
  const store = await openStore(directory);
  const checkpoint = name === undefined ? (await store.newestValid())?.checkpoint : await store.load(name);
  if (checkpoint) {
    const { adapterConfig, path, state } = checkpoint;
    const tensors = fromFlat(state.layout, state.parameters).map((tensor) => [tensor.name, tensor] as const);
    return { path, config: adapterConfig, tensors: new Map(tensors) };
  }
  if (!isS3(directory) && (await isPresent(join(directory, checkpointFiles.adapterConfig)))) {
    return { path: directory, ...(await loadAdapter(directory)) };
  }
  throw new CoordError("CHECKPOINT_INVALID", `There is neither a checkpoint nor an adapter in ${directory}.`);
}
