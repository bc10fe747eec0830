import { readdir } from "node:fs/promises";
import { toCoordError } from "../errors.ts";
import { checkFile, readCheckpoint, readManifest } from "./readCheckpoint.ts";
import type { CheckpointEntry, CheckpointStore } from "./store.ts";
import { manifestFile } from "./types.ts";

/** What was found out about one file. */
export interface FileFinding {
  readonly name: string;
  /** `extra`: the manifest does not know it, and nothing reads it. */
  readonly state: "ok" | "wrong" | "extra";
  /** What is wrong, as a sentence. */
  readonly problem: string | null;
}

/** What was found out about a checkpoint. */
export interface CheckpointFinding {
  readonly valid: boolean;
  readonly files: readonly FileFinding[];
  /** What is wrong with it as a whole: its manifest, or contents that do not fit together. */
  readonly problem: string | null;
}

/** The same for a checkpoint of a store, whose own names of files its findings have. */
export async function inspectIn(store: CheckpointStore, entry: CheckpointEntry): Promise<CheckpointFinding> {
  if (entry.state === "unreadable") return { valid: false, files: [], problem: entry.reason };
  return store.withFiles(entry.name, async (directory) => {
    const named = (problem: string | null) => problem?.replaceAll(directory, entry.path) ?? null;
    const { files, problem, valid } = await inspectCheckpoint(directory, entry.step);
    return { valid, files: files.map((file) => ({ ...file, problem: named(file.problem) })), problem: named(problem) };
  });
}

/** Re-hashes every file, goes on after the first that is wrong, and reads the whole as resume would. Never throws. */
export async function inspectCheckpoint(directory: string, step: number): Promise<CheckpointFinding> {
  const files: FileFinding[] = [];
  try {
    const { files: listed } = await readManifest(directory, step);
    for (const facts of listed) {
      const problem = await checkFile(directory, facts).then(
        () => null,
        (thrown: unknown) => toCoordError(thrown).message,
      );
      files.push({ name: facts.name, state: problem === null ? "ok" : "wrong", problem });
    }
    for (const name of (await readdir(directory)).sort()) {
      if (name === manifestFile || listed.some((facts) => facts.name === name)) continue;
      files.push({ name, state: "extra", problem: null });
    }
    if (files.some(({ state }) => state === "wrong")) return { valid: false, files, problem: null };
    await readCheckpoint(directory, step);
    return { valid: true, files, problem: null };
  } catch (thrown) {
    return { valid: false, files, problem: toCoordError(thrown).message };
  }
}
