import { randomUUID } from "node:crypto";
import { basename, join } from "node:path";
import { CoordError } from "../errors.ts";
import { decideCommit, type Occupant } from "./commitRule.ts";
import { type FileSystem, hostFileSystem, makeDirectoryDurably, requireSpace } from "./fileSystem.ts";
import { cleanUp, listCheckpoints, stepOf } from "./listing.ts";
import { hasRightSizes, readCheckpoint, verifyCheckpoint } from "./readCheckpoint.ts";
import { discard, privatePath, removeCheckpoints } from "./removal.ts";
import { chooseRemovals } from "./retention.ts";
import { storageError } from "./storageError.ts";
import type { Checkpoint, CheckpointEntry, CheckpointStore, PassedOver } from "./store.ts";
import type { TrainingState } from "./trainingState.ts";
import type { CheckpointContents } from "./types.ts";
import { filesOf, hasSameState, writeCheckpoint } from "./writeCheckpoint.ts";
import { sizeOf } from "./writeDurably.ts";

/** Room for the manifest, directory entries and rounding up to blocks, in bytes. */
const spareBytes = 64 * 1024;

export interface LocalCheckpointStoreOptions {
  /** Checkpoints to keep; 0, the default, for all. */
  readonly saveTotalLimit?: number;
  /** Checkpoints at multiples of this many steps are kept beyond the limit; 0, the default, for none. */
  readonly saveMilestoneSteps?: number;
  /** Told, in one sentence, what went wrong without harm: an old checkpoint that could not be removed. */
  readonly onWarning?: (message: string) => void;
  readonly fs?: FileSystem;
}

/**
 * Checkpoints of one run as `checkpoint-N` directories of an output directory on a local or shared file system. One
 * coordinator writes at a time; anybody may read. Beside them, while work is under way or after a crash:
 * `.tmp-…` (being written), `.replaced-…` (still valid, giving way to one of the same step) and `.trash-…` (being
 * removed), all settled by the next save; and `checkpoint-N.invalid-…` (damaged, moved aside, left for a person).
 */
export class LocalCheckpointStore implements CheckpointStore {
  readonly directory: string;
  readonly #fs: FileSystem;
  readonly #saveTotalLimit: number;
  readonly #saveMilestoneSteps: number;
  readonly #onWarning: (message: string) => void;
  #lastSave: Promise<unknown> = Promise.resolve();

  constructor(directory: string, options: LocalCheckpointStoreOptions = {}) {
    this.directory = directory;
    this.#fs = options.fs ?? hostFileSystem;
    this.#saveTotalLimit = options.saveTotalLimit ?? 0;
    this.#saveMilestoneSteps = options.saveMilestoneSteps ?? 0;
    this.#onWarning = options.onWarning ?? (() => undefined);
  }

  save(contents: CheckpointContents, extraFiles: readonly string[] = []): Promise<{ name: string; path: string }> {
    // One after the other: each begins by cleaning up what an earlier one may have left.
    const saved = this.#lastSave.then(() => this.#save(contents, extraFiles));
    this.#lastSave = saved.catch(() => undefined);
    return saved;
  }

  list(): Promise<CheckpointEntry[]> {
    return listCheckpoints(this.directory);
  }

  async load(name: string): Promise<Checkpoint> {
    const entries = await this.list();
    const entry = entries.find((candidate) => candidate.name === name);
    if (!entry) {
      const there = entries.map((candidate) => candidate.name).join(", ") || "none";
      throw new CoordError(
        "CHECKPOINT_INVALID",
        `There is no ${JSON.stringify(name)} in ${this.directory}; checkpoints there: ${there}.`,
      );
    }
    return { name, path: entry.path, ...(await readCheckpoint(entry.path, entry.step)) };
  }

  async newestValid(): Promise<{ checkpoint: Checkpoint; passedOver: PassedOver[] } | undefined> {
    const entries = await this.list();
    const passedOver: PassedOver[] = [];
    for (const entry of entries) {
      if (entry.state === "unreadable") passedOver.push({ name: entry.name, reason: entry.reason });
    }
    for (const entry of entries) {
      if (entry.state === "unreadable") continue;
      try {
        return { checkpoint: await this.load(entry.name), passedOver };
      } catch (thrown) {
        if (!(thrown instanceof CoordError)) throw thrown;
        passedOver.push({ name: entry.name, reason: thrown.message });
      }
    }
    if (entries.length === 0) return undefined;
    const reasons = passedOver.map(({ name, reason }) => `${name}: ${reason}`).join(" ");
    throw new CoordError("CHECKPOINT_INVALID", `None of the checkpoints in ${this.directory} is valid. ${reasons}`);
  }

  async #save(contents: CheckpointContents, extraFiles: readonly string[]): Promise<{ name: string; path: string }> {
    const name = `checkpoint-${contents.state.step}`;
    const saved = { name, path: join(this.directory, name) };
    const files = await filesOf(contents, extraFiles);
    await this.#changing("prepare the directory", this.directory, async () => {
      await makeDirectoryDurably(this.#fs, this.directory);
      await cleanUp(this.#fs, this.directory);
    });
    const decision = await this.#decide(contents, name);
    if (decision.action === "keep") {
      // The save that wrote it may have failed at this very sync.
      await this.#changing("sync the directory", this.directory, () => this.#fs.syncDirectory(this.directory));
      return saved;
    }
    if (decision.action === "refuse") {
      throw new CoordError(decision.code, `${name} was not saved to ${this.directory}: ${decision.reason}.`);
    }
    const needed = files.reduce((sum, { parts }) => sum + sizeOf(parts), spareBytes);
    await requireSpace(this.#fs, this.directory, needed, name);
    const temporary = privatePath(this.directory, "tmp", name);
    try {
      await this.#changing("create the directory", temporary, () => this.#fs.makeDirectory(temporary));
      await writeCheckpoint(this.#fs, temporary, contents, files);
      await this.#changing("move a checkpoint to", saved.path, () => this.#commit(decision.action, temporary, name));
    } catch (thrown) {
      await this.#fs.remove(temporary).catch(() => undefined);
      throw thrown;
    }
    await this.#removeOld(contents, name);
    return saved;
  }

  async #decide(contents: CheckpointContents, name: string): Promise<ReturnType<typeof decideCommit>> {
    const entries = await this.list();
    const manifests = entries.flatMap((entry) => (entry.state === "readable" ? [entry.manifest] : []));
    const own = manifests.filter(({ runId }) => runId === contents.runId);
    return decideCommit(contents.generation, {
      otherRun: manifests.find(({ runId }) => runId !== contents.runId)?.runId,
      newestGeneration: own.map(({ generation }) => generation).reduce(maximum, undefined),
      occupant: await occupantOf(
        entries.find((entry) => entry.name === name),
        contents.state,
      ),
    });
  }

  /** Renames into place. The parent is synced before anything that was there is removed. */
  async #commit(action: "commit" | "quarantine" | "replace", temporary: string, name: string): Promise<void> {
    const place = join(this.directory, name);
    const replaced = privatePath(this.directory, "replaced", name);
    if (action === "quarantine") await this.#fs.rename(place, `${place}.invalid-${randomUUID().slice(0, 8)}`);
    if (action === "replace") {
      await this.#fs.rename(place, replaced);
      await this.#fs.syncDirectory(this.directory);
    }
    await this.#fs.rename(temporary, place);
    await this.#fs.syncDirectory(this.directory);
    if (action === "replace") await discard(this.#fs, this.directory, [replaced], this.#onWarning);
  }

  /** The new checkpoint is safe by now: what cannot be removed is a warning. */
  async #removeOld({ runId, trainerState }: CheckpointContents, justSaved: string): Promise<void> {
    const own = [];
    for (const entry of await this.list()) {
      if (entry.state !== "readable" || entry.manifest.runId !== runId) continue;
      // One that was cut off must not be what is left when its elders are gone.
      if (await hasRightSizes(entry.path, entry.manifest)) own.push({ ...entry.manifest, name: entry.name });
    }
    const best = trainerState.best_model_checkpoint;
    const { remove } = chooseRemovals(own, justSaved, {
      limit: this.#saveTotalLimit,
      milestoneSteps: this.#saveMilestoneSteps,
      best: best === null ? undefined : basename(best),
    });
    await removeCheckpoints(this.#fs, this.directory, remove, this.#onWarning);
  }

  async #changing(doing: string, path: string, change: () => Promise<unknown>): Promise<void> {
    try {
      await change();
    } catch (thrown) {
      throw storageError(thrown, doing, path);
    }
  }
}

async function occupantOf(entry: CheckpointEntry | undefined, state: TrainingState): Promise<Occupant> {
  if (!entry) return { state: "nothing" };
  try {
    const manifest = await verifyCheckpoint(entry.path, stepOf(entry.name)!);
    return { state: "valid", generation: manifest.generation, sameBytes: hasSameState(manifest, state) };
  } catch (thrown) {
    if (!(thrown instanceof CoordError)) throw thrown;
    return { state: "damaged", reason: thrown.message };
  }
}

function maximum(a: bigint | undefined, b: bigint): bigint {
  return a === undefined || b > a ? b : a;
}
