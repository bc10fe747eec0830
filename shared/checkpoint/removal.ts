import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { FileSystem } from "./fileSystem.ts";
import { storageError } from "./storageError.ts";

/** A name that no listing takes for a checkpoint: being written, giving way to another, being removed. */
export function privatePath(directory: string, kind: "tmp" | "replaced" | "trash", name: string): string {
  return join(directory, `.${kind}-${name}-${randomUUID()}`);
}

/**
 * Removes checkpoints of a directory. Each is renamed first, so that nobody takes a half-removed one for a checkpoint.
 * What cannot be removed is a warning; the next save tries again. Returns the names that are gone.
 */
export async function removeCheckpoints(
  fs: FileSystem,
  directory: string,
  names: readonly string[],
  onWarning: (message: string) => void,
): Promise<string[]> {
  const trash: string[] = [];
  const gone: string[] = [];
  for (const name of names) {
    const to = privatePath(directory, "trash", name);
    try {
      await fs.rename(join(directory, name), to);
      trash.push(to);
      gone.push(name);
    } catch (thrown) {
      onWarning(storageError(thrown, "remove", join(directory, name)).message);
    }
  }
  if (trash.length > 0) await discard(fs, directory, trash, onWarning);
  return gone;
}

/** Removes directories that have been renamed out of the way, once the renames would survive a loss of power. */
export async function discard(
  fs: FileSystem,
  directory: string,
  paths: readonly string[],
  onWarning: (message: string) => void,
): Promise<void> {
  try {
    await fs.syncDirectory(directory);
    for (const path of paths) await fs.remove(path);
  } catch (thrown) {
    onWarning(storageError(thrown, "remove an old checkpoint in", directory).message);
  }
}
