import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { CommitDecision } from "./commitRule.ts";
import { type FileSystem, hostFileSystem, makeDirectoryDurably, requireSpace } from "./fileSystem.ts";
import { cleanUp, listCheckpoints } from "./listing.ts";
import type { Manifest } from "./manifest.ts";
import { hasRightSizes, readCheckpoint, verifyCheckpoint } from "./readCheckpoint.ts";
import { discard, privatePath, removeCheckpoints } from "./removal.ts";
import { storageError } from "./storageError.ts";
import type { Checkpoint, CheckpointEntry, CheckpointStore, StoreOptions } from "./store.ts";
import { decideSave, entryNamed, newestValidOf, outOfRetention, type ReadableEntry } from "./storeRules.ts";
import type { CheckpointContents } from "./types.ts";
import { filesOf, writeCheckpoint } from "./writeCheckpoint.ts";
import { sizeOf } from "./writeDurably.ts";

/** Room for the manifest, directory entries and rounding up to blocks, in bytes. */
const spareBytes = 64 * 1024;

/**
 * Checkpoints of one run as `checkpoint-N` directories of an output directory on a local or shared file system. One
 * coordinator writes at a time; anybody may read. Beside them, while work is under way or after a crash:
 * `.tmp-…` (being written), `.replaced-…` (still valid, giving way to one of the same step) and `.trash-…` (being
 * removed), all settled by the next save; and `checkpoint-N.invalid-…` (damaged, moved aside, left for a person).
 */
export class LocalCheckpointStore implements CheckpointStore {
  readonly #fs: FileSystem;
  readonly #onWarning: (message: string) => void;
  #lastSave: Promise<unknown> = Promise.resolve();

  constructor(
    readonly location: string,
    private readonly options: StoreOptions & { readonly fs?: FileSystem } = {},
  ) {
    this.#fs = options.fs ?? hostFileSystem;
    this.#onWarning = options.onWarning ?? (() => undefined);
  }

  save(contents: CheckpointContents, extraFiles: readonly string[] = []): Promise<{ name: string; path: string }> {
    // One after the other: each begins by cleaning up what an earlier one may have left.
    const saved = this.#lastSave.then(() => this.#save(contents, extraFiles));
    this.#lastSave = saved.catch(() => undefined);
    return saved;
  }

  list(): Promise<CheckpointEntry[]> {
    return listCheckpoints(this.location);
  }

  async verify(name: string): Promise<Manifest> {
    const { path, step } = await this.#entry(name);
    return verifyCheckpoint(path, step);
  }

  async load(name: string): Promise<Checkpoint> {
    const { path, step } = await this.#entry(name);
    return { name, path, ...(await readCheckpoint(path, step)) };
  }

  newestValid(): ReturnType<CheckpointStore["newestValid"]> {
    return newestValidOf(this);
  }

  async putAside(names: readonly string[]): Promise<{ name: string; path: string }[]> {
    const moved: { name: string; path: string }[] = [];
    for (const name of names) {
      const path = invalidPath(this.location, name);
      const from = (await this.#entry(name)).path;
      await this.#changing("move aside", from, undefined, () => this.#fs.rename(from, path));
      moved.push({ name, path });
    }
    if (moved.length > 0) {
      await this.#changing("sync the directory", this.location, undefined, () => this.#fs.syncDirectory(this.location));
    }
    return moved;
  }

  remove(names: readonly string[]): Promise<string[]> {
    return removeCheckpoints(this.#fs, this.location, names, this.#onWarning);
  }

  async withFiles<Result>(name: string, use: (directory: string) => Promise<Result>): Promise<Result> {
    return use((await this.#entry(name)).path);
  }

  async #entry(name: string): Promise<CheckpointEntry> {
    return entryNamed(await this.list(), name, this.location);
  }

  async #save(contents: CheckpointContents, extraFiles: readonly string[]): Promise<{ name: string; path: string }> {
    const name = `checkpoint-${contents.state.step}`;
    const saved = { name, path: join(this.location, name) };
    const files = await filesOf(contents, extraFiles);
    const bytes = files.reduce((sum, { parts }) => sum + sizeOf(parts), 0);
    await this.#changing("prepare the directory", this.location, bytes, async () => {
      await makeDirectoryDurably(this.#fs, this.location);
      await cleanUp(this.#fs, this.location);
    });
    const { action } = await decideSave(this, await this.list(), contents);
    if (action === "keep") {
      // The save that wrote it may have failed at this very sync.
      await this.#changing("sync the directory", this.location, bytes, () => this.#fs.syncDirectory(this.location));
      return saved;
    }
    await requireSpace(this.#fs, this.location, bytes + spareBytes, name);
    const temporary = privatePath(this.location, "tmp", name);
    try {
      await this.#changing("create the directory", temporary, bytes, () => this.#fs.makeDirectory(temporary));
      await writeCheckpoint(this.#fs, temporary, contents, files);
      // Writing takes seconds, in which a coordinator that has taken the run over may have committed.
      await decideSave(this, await this.list(), contents);
      await this.#changing("move a checkpoint to", saved.path, bytes, () => this.#commit(action, temporary, name));
    } catch (thrown) {
      await this.#fs.remove(temporary).catch(() => undefined);
      throw thrown;
    }
    await this.#removeOld(contents);
    return saved;
  }

  /** Renames into place. The parent is synced before anything that was there is removed. */
  async #commit(action: CommitDecision["action"], temporary: string, name: string): Promise<void> {
    const place = join(this.location, name);
    const replaced = privatePath(this.location, "replaced", name);
    if (action === "quarantine") await this.#fs.rename(place, invalidPath(this.location, name));
    if (action === "replace") {
      await this.#fs.rename(place, replaced);
      await this.#fs.syncDirectory(this.location);
    }
    await this.#fs.rename(temporary, place);
    await this.#fs.syncDirectory(this.location);
    if (action === "replace") await discard(this.#fs, this.location, [replaced], this.#onWarning);
  }

  /** The new checkpoint is safe by now: what cannot be removed is a warning. */
  async #removeOld(contents: CheckpointContents): Promise<void> {
    const whole: ReadableEntry[] = [];
    for (const entry of await this.list()) {
      // One that was cut off must not be what is left when its elders are gone.
      if (entry.state === "readable" && (await hasRightSizes(entry.path, entry.manifest))) whole.push(entry);
    }
    await this.remove(outOfRetention(whole, contents, this.options));
  }

  async #changing(
    doing: string,
    path: string,
    bytes: number | undefined,
    change: () => Promise<unknown>,
  ): Promise<void> {
    try {
      await change();
    } catch (thrown) {
      throw storageError(thrown, doing, path, bytes);
    }
  }
}

/** Where a damaged one is moved to. */
function invalidPath(directory: string, name: string): string {
  return `${join(directory, name)}.invalid-${randomUUID().slice(0, 8)}`;
}
