import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { absoluteLocation, isS3 } from "../../shared/checkpoint/location.ts";
import type { CheckpointEntry, CheckpointStore } from "../../shared/checkpoint/store.ts";
import { stepOf } from "../../shared/checkpoint/storeRules.ts";
import { CoordError, toCoordError } from "../../shared/errors.ts";
import type { RunDirectory } from "../runs/runDirectory.ts";
import type { RunFile } from "../runs/runFiles.ts";
import type { CommandContext, CommandValues } from "./command.ts";
import { selectRun } from "./selectRun.ts";

/** A directory of checkpoints or an s3:// URL, and the run that it belongs to where this host knows it. */
export interface CheckpointPlace {
  /** Absolute, or a URL. */
  readonly directory: string;
  readonly known?: { readonly run: RunFile; readonly directory: RunDirectory };
  /** `checkpoint-N`, where one was named. */
  readonly name?: string;
}

/** The positional of every command about checkpoints. */
export const placesPositional = {
  describe:
    "Run, output (directory or s3:// URL), checkpoint-N of it, or path of a checkpoint [default: the newest run].",
  type: "string",
  array: true,
} as const;

/** The words given for `name`, in order. */
export function words(values: CommandValues, name: string): string[] {
  return [values[name] ?? []].flat().map(String);
}

/**
 * Reads words such as `RUN checkpoint-5 checkpoint-10` or `OUT/checkpoint-5`: a place for each checkpoint that is
 * named, or one place without a name. A bare `checkpoint-N` is one of the run or directory named before it, else of the
 * working directory where that has it, else of the newest run. Throws RUN_NOT_FOUND.
 */
export async function selectCheckpoints(given: readonly string[], context: CommandContext): Promise<CheckpointPlace[]> {
  const places: CheckpointPlace[] = [];
  let current: CheckpointPlace | undefined;
  for (const word of given) {
    const path = absoluteLocation(word, context.workingDirectory);
    if (stepOf(word) !== undefined) {
      if (current === undefined && (await isDirectory(path))) places.push({ directory: dirname(path), name: word });
      else {
        current ??= await placeOf(undefined, context);
        places.push({ ...current, name: word });
      }
    } else if (stepOf(basename(path)) !== undefined) {
      places.push({ directory: dirname(path), name: basename(path) });
    } else {
      current = await placeOf(word, context);
    }
  }
  return places.length > 0 ? places : [current ?? (await placeOf(undefined, context))];
}

/** The entry of the checkpoint named, or of the newest one. Throws CHECKPOINT_INVALID. */
export async function entryOf(store: CheckpointStore, name: string | undefined): Promise<CheckpointEntry> {
  const entries = await store.list();
  const entry = name === undefined ? entries[0] : entries.find((candidate) => candidate.name === name);
  if (entry) return entry;
  const there = entries.map((candidate) => candidate.name).join(", ") || "none";
  throw new CoordError(
    "CHECKPOINT_INVALID",
    `There is no ${name ?? "checkpoint"} in ${store.location}; checkpoints there: ${there}.`,
  );
}

async function placeOf(word: string | undefined, context: CommandContext): Promise<CheckpointPlace> {
  try {
    const { directory, run } = await selectRun(word, context);
    return { directory: run.output, known: { run, directory } };
  } catch (thrown) {
    const path = absoluteLocation(word ?? ".", context.workingDirectory);
    // Checkpoints that came from another host belong to no run here.
    if (word === undefined || toCoordError(thrown).code !== "RUN_NOT_FOUND" || !(await isDirectory(path))) throw thrown;
    return { directory: path };
  }
}

/** Whether there is anything at a URL is known when it is read. */
async function isDirectory(path: string): Promise<boolean> {
  if (isS3(path)) return true;
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
