import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { CoordError } from "../../shared/errors.ts";
import { isPresent, readModelJson, shardPaths } from "../../shared/tensors/modelFiles.ts";
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
  /** Fills `target` with the values from number `from` on, widened likewise. */
  fillFloat32(name: string, target: Float32Array, from?: number): Promise<void>;
  close(): Promise<void>;
}

/** The content of DIRECTORY/config.json. Throws CoordError MODEL_INVALID. */
export async function readModelConfig(directory: string): Promise<{ content: unknown; path: string }> {
  const path = join(directory, "config.json");
  if (!(await isPresent(directory))) {
    throw invalid(
      `There is no model directory ${directory}; --model takes the path of a downloaded HuggingFace-format model`,
    );
  }
  if (!(await isPresent(path))) {
    throw invalid(
      `${directory} has no config.json, so it is not a HuggingFace-format model directory; name the directory that has it`,
    );
  }
  return { content: await readModelJson(path), path };
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
    const stored = (name: string) => namesOf(name).find((known) => holders.has(known)) ?? name;
    check(directory, expected, (name) => holders.get(stored(name))?.file.entries.get(stored(name)));
    return {
      locate(name) {
        const { file, real } = holders.get(stored(name))!;
        const { dtype, start, end } = file.entries.get(stored(name))!;
        return { file: real, dtype, start, end };
      },
      readFloat32: (name) => holders.get(stored(name))!.file.readFloat32(stored(name)),
      fillFloat32: (name, target, from) => holders.get(stored(name))!.file.fillFloat32(stored(name), target, from),
      close,
    };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

/**
 * Names that files have for a weight: its own; without the name of the model's body, which files that were saved from
 * the body alone lack (openai-community/gpt2); and GPT-NeoX's head before transformers 5.
 */
function namesOf(name: string): string[] {
  return [name, name.replace(/^(model|transformer|gpt_neox)\./, ""), name.replace(/^lm_head\./, "embed_out.")];
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
        `${name} in ${directory} has shape [${found.shape.join(", ")}] where config.json asks for [${shape.join(", ")}]; use the files that belong together`,
      );
    }
    if (!["F32", "F16", "BF16"].includes(found.dtype)) {
      throw invalid(
        `${name} in ${directory} has dtype ${found.dtype}; F32, F16 and BF16 can be trained on: save the model in one of these`,
      );
    }
  }
}

const invalid = (sentence: string) => new CoordError("MODEL_INVALID", `${sentence}.`);
