import { join } from "node:path";
import { CoordError } from "../errors.ts";
import { isPresent, readModelJson, shardPaths } from "../tensors/modelFiles.ts";
import { openSafetensors, type SafetensorsFile } from "../tensors/safetensors.ts";
import type { BaseTensor } from "./mergePlan.ts";

/** A model directory with its weight files open. */
export interface BaseModel {
  /** The content of config.json. */
  readonly config: Readonly<Record<string, unknown>>;
  /** In the order of the files. */
  readonly tensors: readonly BaseTensor[];
  /** The file that a tensor is in. */
  fileOf(name: string): SafetensorsFile;
  close(): Promise<void>;
}

/**
 * Opens a HuggingFace-format model directory; the caller closes it. Throws MODEL_INVALID, also for quantized weights,
 * which an adapter cannot be added to.
 */
export async function openBaseModel(directory: string): Promise<BaseModel> {
  const config = await readConfig(directory);
  const files: SafetensorsFile[] = [];
  const close = async () => {
    await Promise.all(files.map((file) => file.close()));
  };
  try {
    for (const path of await shardPaths(directory)) files.push(await openSafetensors(path));
  } catch (thrown) {
    await close();
    throw thrown;
  }
  const holders = new Map(files.flatMap((file) => [...file.entries.keys()].map((name) => [name, file] as const)));
  return {
    config,
    tensors: [...holders].map(([name, file]) => ({ name, ...file.entries.get(name)! })),
    fileOf: (name) => holders.get(name)!,
    close,
  };
}

async function readConfig(model: string): Promise<Record<string, unknown>> {
  if (!(await isPresent(model))) {
    throw new CoordError("MODEL_INVALID", `There is no base model directory ${model}; name it with --model.`);
  }
  const config = (await readModelJson(join(model, "config.json"))) as Record<string, unknown>;
  if (!config["quantization_config"]) return config;
  throw new CoordError(
    "MODEL_INVALID",
    `${model} has quantized weights, which an adapter cannot be added to; name the original F32, F16 or BF16 model with --model.`,
  );
}
