import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { CoordError } from "../errors.ts";
import { openSafetensors } from "../tensors/safetensors.ts";
import { type AdapterConfig, decodeAdapterConfig } from "./adapterConfig.ts";
import type { Tensor } from "./flat.ts";
import { checkpointFiles } from "./types.ts";

/**
 * Reads a PEFT adapter directory, for a new run that starts from its weights (`toFlat` fits them to a model). Values
 * are widened to float32. Throws ADAPTER_INVALID.
 */
export async function loadAdapter(directory: string): Promise<{ config: AdapterConfig; tensors: Map<string, Tensor> }> {
  const configPath = join(directory, checkpointFiles.adapterConfig);
  const text = await readFile(configPath, "utf8").catch((thrown: unknown) => {
    throw new CoordError(
      "ADAPTER_INVALID",
      `${directory} is not a PEFT adapter directory: ${checkpointFiles.adapterConfig} cannot be read (${(thrown as NodeJS.ErrnoException).code}).`,
      { cause: thrown },
    );
  });
  const config = decodeAdapterConfig(text, configPath);
  const path = join(directory, checkpointFiles.adapter);
  await refusePickle(directory, path);
  const file = await openSafetensors(path, { code: "ADAPTER_INVALID" });
  try {
    const tensors = new Map<string, Tensor>();
    for (const [name, { shape }] of file.entries) tensors.set(name, { shape, data: await file.readFloat32(name) });
    return { config, tensors };
  } finally {
    await file.close();
  }
}

async function refusePickle(directory: string, safetensors: string): Promise<void> {
  if (await exists(safetensors)) return;
  if (await exists(join(directory, "adapter_model.bin"))) {
    throw new CoordError(
      "ADAPTER_INVALID",
      `${directory} has adapter_model.bin only, a Python pickle that can run code when it is read; save it again with PEFT's save_pretrained(safe_serialization=True).`,
    );
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
