import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { glob } from "tinyglobby";
import { CoordError } from "../../../shared/errors.ts";

/** Names that a directory is searched for. */
const dataNames = "**/*.{json,jsonl,ndjson,csv,tsv,parquet,txt,text}{,.gz}";

/**
 * The data files that a list of files, globs and directories names: in the order of the list, those of one glob or
 * directory by name, each file once. Throws DATA_INVALID where an entry names none. `flag` is where the list came from.
 */
export async function findDataFiles(inputs: readonly string[], flag = "--data"): Promise<string[]> {
  const found = new Set<string>();
  for (const input of inputs) for (const path of await expand(input, flag)) found.add(path);
  return [...found];
}

async function expand(input: string, flag: string): Promise<string[]> {
  const known = await stat(input).catch(() => undefined);
  if (known?.isDirectory()) {
    const files = await search(dataNames, input);
    if (files.length > 0) return files;
    throw new CoordError(
      "DATA_INVALID",
      `The directory ${input} has no data file; ${flag} looks for .json, .jsonl, .csv, .tsv, .parquet and .txt, also with .gz.`,
    );
  }
  if (known !== undefined) return [resolve(input)];
  if (!/[*?[{]/.test(input))
    throw new CoordError("DATA_INVALID", `The data set ${input} does not exist; check ${flag}.`);
  const files = await search(resolve(input), "/");
  if (files.length === 0) throw new CoordError("DATA_INVALID", `No file matches ${input}; check ${flag}.`);
  return files;
}

/** Files with a leading dot are not data. */
async function search(pattern: string, directory: string): Promise<string[]> {
  return (await glob(pattern, { cwd: directory, absolute: true, expandDirectories: false })).sort();
}
