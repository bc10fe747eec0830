import { constants } from "node:fs";
import { type FileHandle, open, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { z } from "zod";
import { CoordError } from "../errors.ts";

/** Name of the weights of a model in one file. */
export const weightsFile = "model.safetensors";

/** The .safetensors files of a HuggingFace-format model directory. Throws MODEL_INVALID. */
export async function shardPaths(directory: string): Promise<string[]> {
  const single = join(directory, weightsFile);
  if (await isPresent(single)) {
    await insideModel(single);
    return [single];
  }
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
  throw invalid(
    `${directory} has neither model.safetensors nor model.safetensors.index.json; download the model's weights into it`,
  );
}

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

async function indexedPaths(directory: string, index: string): Promise<string[]> {
  const parsed = indexSchema.safeParse(await readModelJson(index));
  if (!parsed.success) throw invalid(`${index} has no weight_map of names and files; copy or download it again`);
  const shards = [...new Set(Object.values(parsed.data.weight_map))].sort();
  for (const shard of shards) {
    if (shard !== basename(shard) || ["", ".", ".."].includes(shard) || shard.includes("\\")) {
      throw invalid(
        `${index} names the file ${JSON.stringify(shard)}, which is not in the model directory; use the model's own index`,
      );
    }
    if (!(await isPresent(join(directory, shard)))) {
      throw invalid(`${index} names ${shard}, which ${directory} has not; copy or download it again`);
    }
    await insideModel(join(directory, shard));
  }
  return shards.map((shard) => join(directory, shard));
}

/** Throws MODEL_INVALID that names `path`. */
export async function readModelJson(path: string): Promise<unknown> {
  const text = await readModelText(path);
  try {
    return JSON.parse(text);
  } catch (thrown) {
    throw invalid(`${path} cannot be read as JSON: ${(thrown as Error).message}; copy or download it again`, thrown);
  }
}

/** Largest text file that a model directory may hold, in bytes: the tokenizer.json of a large vocabulary has 35 MB. */
const maxTextBytes = 256 * 2 ** 20;

/**
 * A text file of a model directory. Neither waits for a FIFO nor follows a link out of the directory. Throws
 * MODEL_INVALID, with the system's error as its cause.
 */
export async function readModelText(path: string): Promise<string> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(await insideModel(path), constants.O_RDONLY | constants.O_NONBLOCK);
    const found = await handle.stat();
    if (!found.isFile()) throw invalid(`${path} is not a regular file; copy or download the model again`);
    if (found.size > maxTextBytes) {
      throw invalid(
        `${path} has ${found.size} bytes, more than the ${maxTextBytes} that are read; use the model's own`,
      );
    }
    return await handle.readFile("utf8");
  } catch (thrown) {
    if (thrown instanceof CoordError) throw thrown;
    const reason = (thrown as Error).message;
    throw invalid(`${path} cannot be read: ${reason}; check that it is there and may be read`, thrown);
  } finally {
    await handle?.close();
  }
}

/**
 * The real path of a file of a model directory. Links may lead to other places in the directory and to the blobs of a
 * hub's cache, which is made of links; others are refused, for who made the directory may not choose what is read.
 * Throws MODEL_INVALID, or the system's error where there is no such file.
 */
export async function insideModel(path: string): Promise<string> {
  const [directory, real] = await Promise.all([realpath(dirname(path)), realpath(path)]);
  if (real.startsWith(directory + sep) || /[\\/]models--[^\\/]+[\\/]blobs[\\/][^\\/]+$/.test(real)) return real;
  throw invalid(
    `${path} is a link that leads out of the model directory, to ${real}; put the file itself in its place`,
  );
}

/** Whether there is something at `path`; links are followed. */
export async function isPresent(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

const invalid = (sentence: string, cause?: unknown) => new CoordError("MODEL_INVALID", `${sentence}.`, { cause });
