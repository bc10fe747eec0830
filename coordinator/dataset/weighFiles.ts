import { findDataFiles } from "./reading/findDataFiles.ts";

/**
 * The files of each entry with the entry's weight, 1 where none is given; a file that several entries name is the first
 * one's. Throws as findDataFiles does.
 */
export async function weighFiles(
  entries: readonly string[],
  weights: readonly number[],
  flag = "--data",
): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const [index, entry] of entries.entries()) {
    for (const path of await findDataFiles([entry], flag)) {
      if (!found.has(path)) found.set(path, weights[index] ?? 1);
    }
  }
  return found;
}
