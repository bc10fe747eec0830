import { basename } from "node:path";
import { CoordError } from "../errors.ts";
import { readTrainerState } from "./readCheckpoint.ts";
import { chooseRemovals } from "./retention.ts";
import type { CheckpointEntry, CheckpointStore, PassedOver } from "./store.ts";
import type { ReadableEntry } from "./storeRules.ts";
import { checkpointFiles } from "./types.ts";

export interface PruneOptions {
  /** Valid checkpoints to keep, at least 1; or "none" to remove all of them. */
  readonly keep: number | "none";
  readonly milestoneSteps: number;
  readonly dryRun: boolean;
}

export interface PruneReport {
  readonly removed: readonly string[];
  readonly kept: readonly string[];
  /** Left for a person to look at, whatever the limit. */
  readonly damaged: readonly PassedOver[];
  readonly reason: string;
}

/**
 * Applies a limit to a store that nobody is writing to. Only checkpoints that verify count as kept, so the last
 * valid one stays unless `keep` is "none". Throws CHECKPOINT_INVALID where there are checkpoints and none is valid.
 */
export async function pruneCheckpoints(store: CheckpointStore, options: PruneOptions): Promise<PruneReport> {
  const { dryRun, keep, milestoneSteps } = options;
  const entries = await store.list();
  const newestRun = entries.find((entry) => entry.state === "readable")?.manifest.runId;
  const damaged: PassedOver[] = [];
  const own: ReadableEntry[] = [];
  for (const entry of entries) {
    if (entry.state === "unreadable") damaged.push({ name: entry.name, reason: entry.reason });
    // Where a directory holds checkpoints of several runs, those of the others are none of our business.
    else if (entry.manifest.runId === newestRun) own.push(entry);
  }
  const finish = async (remove: readonly string[], reason: string): Promise<PruneReport> => {
    const removed = dryRun ? remove : await store.remove(remove);
    const stays = ({ name }: CheckpointEntry) => !removed.includes(name) && !damaged.some((one) => one.name === name);
    return { removed, kept: own.filter(stays).map(({ name }) => name), damaged, reason };
  };
  if (keep === "none") {
    const all = own.map(({ name }) => name);
    return finish(all, "all are removed, the last valid one too (--all)");
  }
  const valid: ReadableEntry[] = [];
  for (const entry of own) {
    if (valid.length === keep) break;
    const reason = await problemWith(store, entry);
    if (reason === undefined) valid.push(entry);
    else damaged.push({ name: entry.name, reason });
  }
  const newest = valid[0];
  if (!newest) {
    if (entries.length === 0) return finish([], "there are no checkpoints");
    throw new CoordError(
      "CHECKPOINT_INVALID",
      `None of the checkpoints in ${store.location} is valid, so none is removed: ${damaged[0]?.reason} --all removes those with a readable manifest.`,
    );
  }
  const best = await bestOf(store, newest, own);
  const countable = own.filter(({ name }) => !damaged.some((one) => one.name === name));
  const rule = { limit: keep, milestoneSteps, best };
  const { reason, remove } = chooseRemovals(countable.map(aged), newest.name, rule);
  return finish(remove, reason);
}

const aged = ({ manifest: { generation, step }, name }: ReadableEntry) => ({ name, step, generation });

async function problemWith(store: CheckpointStore, { name }: ReadableEntry): Promise<string | undefined> {
  try {
    await store.verify(name);
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof CoordError)) throw thrown;
    return thrown.message;
  }
}

async function bestOf(store: CheckpointStore, { name, step }: ReadableEntry, own: readonly ReadableEntry[]) {
  const read = (directory: string) => readTrainerState(directory, step);
  const { best_model_checkpoint: best } = await store.withFiles(name, read, [checkpointFiles.trainerState]);
  return best === null ? undefined : own.find((entry) => entry.name === basename(best))?.name;
}
