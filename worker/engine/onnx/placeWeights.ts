import { basename, dirname } from "node:path";
import type { Model } from "../../model/model.ts";
import type { Weights } from "../../model/weights.ts";
import type { ExternalData } from "./messages.ts";

/** Where the frozen weights of a session come from. */
export interface PlacedWeights {
  /** Mapped by the runtime straight from their file, shared by all workers of a host. */
  readonly external: ReadonlyMap<string, ExternalData>;
  /** Folder that `external` is relative to. */
  readonly folder: string | undefined;
  /** In this process's memory, fed at each run without a copy. */
  readonly fed: ReadonlyMap<string, Float32Array>;
}

/**
 * F32 weights stay in their .safetensors file. F16 and BF16 are widened into memory once (4 bytes per element), for
 * the CPU computes in float32; so are the few that the runtime cannot map: not aligned, or in another folder than the first.
 */
export async function placeWeights(model: Model, weights: Weights): Promise<PlacedWeights> {
  const external = new Map<string, ExternalData>();
  const fed = new Map<string, Float32Array>();
  let folder: string | undefined;
  for (const name of model.frozen.keys()) {
    const { file, dtype, start, end } = weights.locate(name);
    if (dtype === "F32" && start % 4 === 0 && (folder === undefined || folder === dirname(file))) {
      folder = dirname(file);
      external.set(name, { location: basename(file), offset: start, length: end - start });
    } else {
      fed.set(name, await weights.readFloat32(name));
    }
  }
  return { external, folder, fed };
}
