import { firstCharacter, readDataBytes } from "./dataFile.ts";
import { kindOfData } from "./dataKind.ts";
import type { ReadableFile } from "./readDataSet.ts";

/** Looks at the beginning of a file to learn how it is read. Throws DATA_INVALID where it cannot be read. */
export async function identifyFile(path: string, signal: AbortSignal): Promise<ReadableFile> {
  const first = await findFirstCharacter(path, signal);
  const kind = await kindOfData(path, first);
  return { path, kind, array: kind === "json" && first === "[" };
}

async function findFirstCharacter(path: string, signal: AbortSignal): Promise<string | undefined> {
  for await (const chunk of readDataBytes(path, signal)) {
    const first = firstCharacter(chunk);
    if (first !== undefined) return first;
  }
  return undefined;
}
