import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { CoordError } from "../errors.ts";
import type { FileSystem } from "./fileSystem.ts";
import { NewerFormat } from "./manifest.ts";
import { readManifest } from "./readCheckpoint.ts";
import { storageError } from "./storageError.ts";
import type { CheckpointEntry } from "./store.ts";
import { sortEntries, stepOf } from "./storeRules.ts";
import { manifestFile } from "./types.ts";

const privateName = /^\.(tmp|replaced|trash)-(checkpoint-\d+)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Checkpoints of a directory, newest first, those without a readable manifest last; none where there is no directory.
 * Changes nothing: where a crash left a step's checkpoint put away and its place empty, it is found where it was put.
 */
export async function listCheckpoints(directory: string): Promise<CheckpointEntry[]> {
  const names = await namesIn(directory);
  const paths = new Map<string, string>();
  for (const name of names) {
    const [, kind, replaced] = privateName.exec(name) ?? [];
    if (kind === "replaced" && replaced !== undefined && !names.includes(replaced)) paths.set(replaced, name);
    if (stepOf(name) !== undefined) paths.set(name, name);
  }
  const entries = await Promise.all([...paths].map(([name, at]) => entryAt(name, join(directory, at))));
  return sortEntries(entries);
}

/** Settles what a crash left behind. Only for the one writer of the directory. */
export async function cleanUp(fs: FileSystem, directory: string): Promise<void> {
  const names = new Set(await namesIn(directory));
  for (const name of names) {
    const [, kind, checkpoint] = privateName.exec(name) ?? [];
    if (kind === undefined || checkpoint === undefined) continue;
    const path = join(directory, name);
    if (kind === "replaced" && !names.has(checkpoint)) {
      await fs.rename(path, join(directory, checkpoint));
      await fs.syncDirectory(directory);
      names.add(checkpoint);
    } else {
      await fs.remove(path);
    }
  }
}

async function entryAt(name: string, path: string): Promise<CheckpointEntry> {
  const step = stepOf(name)!;
  try {
    const manifest = await readManifest(path, step);
    const savedAtMs = Math.round((await stat(join(path, manifestFile))).mtimeMs);
    return { name, path, step, state: "readable", manifest, savedAtMs };
  } catch (thrown) {
    if (!(thrown instanceof CoordError)) throw thrown;
    return {
      ...{ name, path, step, state: "unreadable", reason: thrown.message },
      newerFormat: thrown instanceof NewerFormat,
    };
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw storageError(thrown, "read the directory", directory);
  }
}
