import { readFile, realpath, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { CoordError } from "../../shared/errors.ts";
import { openSafetensors, type SafetensorsFile } from "../../shared/tensors/safetensors.ts";

/** Where a weight lies. */
export interface WeightLocation {
  /** Real path of the file: links, which HuggingFace's cache is made of, are followed. */
  readonly file: string;
  readonly dtype: string;
  /** Range of the file, in bytes. */
  readonly start: number;
  readonly end: number;
}

/** The weights of a model directory, checked against the shapes that its config.json asks for. */
export interface Weights {
  locate(name: string): WeightLocation;
  /** Row-major; F16 and BF16 are widened. */
  readFloat32(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}

/** The content of DIRECTORY/config.json. Throws CoordError MODEL_INVALID. */
export async function readModelConfig(directory: string): Promise<{ content: unknown; path: string }> {
  const path = join(directory, "config.json");
  if (!(await isPresent(directory))) throw invalid(`There is no model directory ${directory}`);
  if (!(await isPresent(path))) {
    throw invalid(`${directory} has no config.json, so it is not a HuggingFace-format model directory`);
  }
  return { content: await readJson(path), path };
}

/** Opens the .safetensors files of a directory. `expected`: name and shape of each weight that is needed. */
export async function openWeights(
  directory: string,
  expected: ReadonlyMap<string, readonly number[]>,
): Promise<Weights> {
  const files: SafetensorsFile[] = [];
  const close = async () => {
    await Promise.all(files.map((file) => file.close()));
  };
  try {
    for (const path of await shardPaths(directory)) files.push(await openSafetensors(path));
    const holders = new Map<string, { file: SafetensorsFile; real: string }>();
    for (const file of files) {
      const real = await realpath(file.path);
      for (const name of file.entries.keys()) holders.set(name, { file, real });
    }
    check(directory, expected, (name) => holders.get(name)?.file.entries.get(name));
    return {
      locate(name) {
        const { file, real } = holders.get(name)!;
        const { dtype, start, end } = file.entries.get(name)!;
        return { file: real, dtype, start, end };
      },
      readFloat32: (name) => holders.get(name)!.file.readFloat32(name),
      close,
    };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

async function shardPaths(directory: string): Promise<string[]> {
  const single = join(directory, "model.safetensors");
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

async function indexedPaths(directory: string, index: string): Promise<string[]> {
  const parsed = indexSchema.safeParse(await readJson(index));
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

function check(
  directory: string,
  expected: ReadonlyMap<string, readonly number[]>,
  find: (name: string) => { dtype: string; shape: readonly number[] } | undefined,
): void {
  const missing = [...expected.keys()].filter((name) => !find(name));
  if (missing.length > 0) {
    const rest = missing.length > 1 ? ` and ${missing.length - 1} more` : "";
    throw invalid(
      `The weights in ${directory} lack ${missing[0]}${rest}, which config.json asks for; use the files that belong together`,
    );
  }
  for (const [name, shape] of expected) {
    const found = find(name)!;
    if (found.shape.join() !== shape.join()) {
      throw invalid(
        `${name} in ${directory} has shape [${found.shape.join(", ")}] where config.json asks for [${shape.join(", ")}]`,
      );
    }
    if (!["F32", "F16", "BF16"].includes(found.dtype)) {
      throw invalid(`${name} in ${directory} has dtype ${found.dtype}; F32, F16 and BF16 can be trained on`);
    }
  }
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw new CoordError("MODEL_INVALID", `${path} cannot be read as JSON: ${reason}.`, { cause: thrown });
  }
}

async function isPresent(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

const invalid = (sentence: string) => new CoordError("MODEL_INVALID", `${sentence}.`);
