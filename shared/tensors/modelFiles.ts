import { readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { CoordError } from "../errors.ts";

/** Name of the weights of a model in one file. */
export const weightsFile = "model.safetensors";

/** The .safetensors files of a HuggingFace-format model directory. Throws MODEL_INVALID. */
export async function shardPaths(directory: string): Promise<string[]> {
  const single = join(directory, weightsFile);
  if (await isPresent(single)) return [single];
  const index = `${single}.index.json`;
  if (await isPresent(index)) return indexedPaths(directory, index);
  if (
    (await isPresent(join(directory, "pytorch_model.bin"))) ||
    (await isPresent(join(directory, "pytorch_model.bin.index.json")))
  ) {
    throw invalid(
      `${directory} has its weights as pytorch_model.bin, a pickle that can run code when it is read; save the model again with save_pretrained(DIR, safe_serialization=True)`,
    );
  }
  throw invalid(`${directory} has neither model.safetensors nor model.safetensors.index.json`);
}

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

async function indexedPaths(directory: string, index: string): Promise<string[]> {
  const parsed = indexSchema.safeParse(await readModelJson(index));
  if (!parsed.success) throw invalid(`${index} has no weight_map of names and files`);
  const shards = [...new Set(Object.values(parsed.data.weight_map))].sort();
  for (const shard of shards) {
    if (shard !== basename(shard) || shard === ".." || shard.includes("\\")) {
      throw invalid(`${index} names the file ${JSON.stringify(shard)}, which is not in the model directory`);
    }
    if (!(await isPresent(join(directory, shard)))) {
      throw invalid(`${index} names ${shard}, which ${directory} has not; copy or download it again`);
    }
  }
  return shards.map((shard) => join(directory, shard));
}

/** Throws MODEL_INVALID that names `path`. */
export async function readModelJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw new CoordError("MODEL_INVALID", `${path} cannot be read as JSON: ${reason}.`, { cause: thrown });
  }
}

/** Whether there is something at `path`; links are followed. */
export async function isPresent(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

const invalid = (sentence: string) => new CoordError("MODEL_INVALID", `${sentence}.`);
