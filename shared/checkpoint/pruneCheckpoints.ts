import { basename } from "node:path";
import { CoordError } from "../errors.ts";
import { type FileSystem, hostFileSystem } from "./fileSystem.ts";
import { listCheckpoints } from "./listing.ts";
import { readTrainerState, verifyCheckpoint } from "./readCheckpoint.ts";
import { removeCheckpoints } from "./removal.ts";
import { chooseRemovals } from "./retention.ts";
import type { CheckpointEntry, PassedOver } from "./store.ts";

export interface PruneOptions {
  /** Valid checkpoints to keep, at least 1; or "none" to remove all of them. */
  readonly keep: number | "none";
  readonly milestoneSteps: number;
  readonly dryRun: boolean;
  readonly onWarning: (message: string) => void;
  readonly fs?: FileSystem;
}

export interface PruneReport {
  readonly removed: readonly string[];
  readonly kept: readonly string[];
  /** Left for a person to look at, whatever the limit. */
  readonly damaged: readonly PassedOver[];
  readonly reason: string;
}

type Readable = Extract<CheckpointEntry, { state: "readable" }>;

/**
 * Applies a limit to a directory that nobody is writing to. Only checkpoints that verify count as kept, so the last
 * valid one stays unless `keep` is "none". Throws CHECKPOINT_INVALID where there are checkpoints and none is valid.
 */
export async function pruneCheckpoints(directory: string, options: PruneOptions): Promise<PruneReport> {
  const { dryRun, keep, milestoneSteps, onWarning } = options;
  const fs = options.fs ?? hostFileSystem;
  const entries = await listCheckpoints(directory);
  const newestRun = entries.find((entry) => entry.state === "readable")?.manifest.runId;
  const damaged: PassedOver[] = [];
  const own: Readable[] = [];
  for (const entry of entries) {
    if (entry.state === "unreadable") damaged.push({ name: entry.name, reason: entry.reason });
    // Where a directory holds checkpoints of several runs, those of the others are none of our business.
    else if (entry.manifest.runId === newestRun) own.push(entry);
  }
  const finish = async (remove: readonly string[], reason: string): Promise<PruneReport> => {
    const removed = dryRun ? remove : await removeCheckpoints(fs, directory, remove, onWarning);
    const stays = ({ name }: CheckpointEntry) => !removed.includes(name) && !damaged.some((one) => one.name === name);
    return { removed, kept: own.filter(stays).map(({ name }) => name), damaged, reason };
  };
  if (keep === "none") {
    const all = own.map(({ name }) => name);
    return finish(all, "all are removed, the last valid one too (--all)");
  }
  const valid: Readable[] = [];
  for (const entry of own) {
    if (valid.length === keep) break;
    const reason = await problemWith(entry);
    if (reason === undefined) valid.push(entry);
    else damaged.push({ name: entry.name, reason });
  }
  const newest = valid[0];
  if (!newest) {
    if (entries.length === 0) return finish([], "there are no checkpoints");
    throw new CoordError(
      "CHECKPOINT_INVALID",
      `None of the checkpoints in ${directory} is valid, so none is removed: ${damaged[0]?.reason} --all removes those with a readable manifest.`,
    );
  }
  const best = await bestOf(newest, own);
  const countable = own.filter(({ name }) => !damaged.some((one) => one.name === name));
  const rule = { limit: keep, milestoneSteps, best };
  const { reason, remove } = chooseRemovals(countable.map(aged), newest.name, rule);
  return finish(remove, reason);
}

const aged = ({ manifest: { generation, step }, name }: Readable) => ({ name, step, generation });

async function problemWith({ path, step }: Readable): Promise<string | undefined> {
  try {
    await verifyCheckpoint(path, step);
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof CoordError)) throw thrown;
    return thrown.message;
  }
}

async function bestOf({ path, step }: Readable, own: readonly Readable[]): Promise<string | undefined> {
  const { best_model_checkpoint: best } = await readTrainerState(path, step);
  return best === null ? undefined : own.find(({ name }) => name === basename(best))?.name;
}
