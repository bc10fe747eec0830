import { createHash, randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CoordError, toCoordError } from "../../errors.ts";
import { hostFileSystem } from "../fileSystem.ts";
import type { Manifest } from "../manifest.ts";
import { readCheckpoint } from "../readCheckpoint.ts";
import type { Checkpoint, CheckpointEntry, CheckpointStore, StoreOptions } from "../store.ts";
import { decideSave, entryNamed, newestValidOf, outOfRetention } from "../storeRules.ts";
import { type CheckpointContents, checkpointFiles, manifestFile } from "../types.ts";
import { filesOf, manifestOf } from "../writeCheckpoint.ts";
import { piecesOf, sha256Of, sizeOf, streamDurably } from "../writeDurably.ts";
import { type Commit, decodeCommit, encodeCommit } from "./commit.ts";
import { type AttemptId, attemptKey, commitKey, invalidCommitKey, parseKey } from "./keys.ts";
import { getSmall, type ObjectStorage } from "./objectStorage.ts";
import { type S3Entry, type Snapshot, takeSnapshot } from "./snapshot.ts";

/**
 * Checkpoints of one run as objects below a prefix of a bucket; `keys.ts` has their names. A save writes its files under
 * names that nobody else uses and then creates the commit, which exists whole or not at all. A writer whose generation
 * is over changes nothing, and could not harm a newer one's checkpoints if it tried: names of attempts are its own.
 */
export class S3CheckpointStore implements CheckpointStore {
  readonly location: string;
  /** Ends with a slash, or is empty. */
  readonly #prefix: string;
  readonly #onWarning: (message: string) => void;
  #lastSave: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly storage: ObjectStorage,
    prefix: string,
    private readonly options: StoreOptions = {},
  ) {
    this.location = storage.url(prefix);
    this.#prefix = prefix === "" ? "" : `${prefix}/`;
    this.#onWarning = options.onWarning ?? (() => undefined);
  }

  save(contents: CheckpointContents, extraFiles: readonly string[] = []): Promise<{ name: string; path: string }> {
    // One after the other: each begins by cleaning up what an earlier one may have left.
    const saved = this.#lastSave.then(() => this.#save(contents, extraFiles));
    this.#lastSave = saved.catch(() => undefined);
    return saved;
  }

  async list(): Promise<CheckpointEntry[]> {
    return (await this.#snapshot()).entries;
  }

  async verify(name: string): Promise<Manifest> {
    const { id, manifest } = await this.#readable(name);
    for (const { name: file, sha256, size } of manifest.files) {
      const key = this.#prefix + attemptKey(id, file);
      const pieces = await this.storage.get(key);
      const invalid = (why: string) => new CoordError("CHECKPOINT_INVALID", `${this.storage.url(key)} ${why}.`);
      if (!pieces) throw invalid("is missing");
      const hash = createHash("sha256");
      let found = 0;
      for await (const piece of pieces) {
        hash.update(piece);
        found += piece.byteLength;
      }
      if (found < size) throw invalid(`is truncated: expected ${size} bytes, object has ${found}`);
      if (found > size) throw invalid(`is too long: expected ${size} bytes, object has ${found}`);
      if (hash.digest("hex") !== sha256) throw invalid("is damaged: its SHA-256 is not the manifest's");
    }
    return manifest;
  }

  async load(name: string): Promise<Checkpoint> {
    const entry = await this.#readable(name);
    const read = (directory: string) => readCheckpoint(directory, entry.step);
    return { name, path: entry.path, ...(await this.#withCopy(entry, read)) };
  }

  newestValid(): ReturnType<CheckpointStore["newestValid"]> {
    return newestValidOf(this);
  }

  async putAside(names: readonly string[]): Promise<{ name: string; path: string }[]> {
    const { entries } = await this.#snapshot();
    const moved: { name: string; path: string }[] = [];
    for (const name of names) {
      const key = await this.#putAside(entryNamed(entries, name, this.location) as S3Entry);
      moved.push({ name, path: this.storage.url(key) });
    }
    return moved;
  }

  async remove(names: readonly string[]): Promise<string[]> {
    const gone: string[] = [];
    for (const name of names) {
      try {
        const { objects } = await this.#snapshot();
        const aside = putAside(objects);
        const keys = [...objects.keys()].filter((key) => key.startsWith(`${name}/`) && !aside(key));
        await this.#removeCommitted(keys);
        gone.push(name);
      } catch (thrown) {
        this.#onWarning(`${name} could not be removed. ${toCoordError(thrown).message}`);
      }
    }
    return gone;
  }

  async withFiles<Result>(
    name: string,
    use: (directory: string) => Promise<Result>,
    only?: readonly string[],
  ): Promise<Result> {
    return this.#withCopy(await this.#readable(name), use, only);
  }

  #snapshot(): Promise<Snapshot> {
    return takeSnapshot(this.storage, this.#prefix);
  }

  async #readable(name: string) {
    const { entries } = await this.#snapshot();
    const entry = entryNamed(entries, name, this.location) as S3Entry;
    if (entry.state === "readable") return entry;
    throw new CoordError("CHECKPOINT_INVALID", entry.reason);
  }

  async #save(contents: CheckpointContents, extraFiles: readonly string[]): Promise<{ name: string; path: string }> {
    const { generation, state } = contents;
    const name = `checkpoint-${state.step}`;
    const saved = { name, path: this.storage.url(`${this.#prefix}${name}`) };
    const files = await filesOf(contents, extraFiles);
    const before = await this.#snapshot();
    const { action } = await decideSave(this, before.entries, contents);
    if (action === "keep") return saved;
    await this.#cleanUp(before, generation);
    if (action === "quarantine") await this.#putAside(before.entries.find((entry) => entry.name === name)!);
    const id = { name, generation, attempt: randomUUID().slice(0, 8) };
    try {
      const facts: Manifest["files"] = [];
      for (const { name: file, parts } of files) {
        const hash = createHash("sha256");
        const size = sizeOf(parts);
        await this.storage.put(this.#prefix + attemptKey(id, file), hashing(piecesOf(parts), hash), size);
        facts.push({ name: file, size, sha256: hash.digest("hex") });
      }
      const manifest = manifestOf(contents, facts);
      await this.storage.put(this.#prefix + attemptKey(id, manifestFile), [manifest], manifest.byteLength);
      await this.#commit(id, { attempt: id.attempt, manifestSha256: sha256Of([manifest]) }, facts);
    } catch (thrown) {
      // An attempt whose commit may have arrived is not ours to remove: whoever saves next sees which it is.
      if (!(thrown instanceof UnknownOutcome)) await this.#discard(id).catch(() => undefined);
      throw thrown;
    }
    await this.#settle(contents);
    return saved;
  }

  /** Creates the commit. Another writer's of the same step and generation is accepted if it has the same state. */
  async #commit(id: AttemptId, commit: Commit, facts: Manifest["files"]): Promise<void> {
    const key = this.#prefix + commitKey(id.name, id.generation);
    const bytes = encodeCommit(commit);
    let lost: unknown;
    const created = await this.storage.putIfAbsent(key, bytes).catch((thrown: unknown) => {
      lost = thrown;
      return false;
    });
    if (created) return;
    const there = await getSmall(this.storage, key, 4096).catch((thrown: unknown) => {
      throw new UnknownOutcome(toCoordError(lost ?? thrown));
    });
    if (there && Buffer.compare(there, bytes) === 0) return;
    if (!there)
      throw lost ? toCoordError(lost) : new CoordError("STORAGE_FAILED", `${this.storage.url(key)} has gone.`);
    const other = { ...id, attempt: decodeCommit(there, this.storage.url(key)).attempt };
    const { manifest } = await this.#readable(id.name);
    const same = [checkpointFiles.adapter, checkpointFiles.optimizer].every(
      (file) => shaOf(manifest.files, file) === shaOf(facts, file),
    );
    if (!same) {
      throw new CoordError(
        "DIVERGED",
        `${id.name} was not saved to ${this.location}: another writer has committed other bytes for the same step and generation ${id.generation} (${attemptKey(other)}).`,
      );
    }
    await this.#discard(id).catch(() => undefined);
  }

  /** The new checkpoint is safe by now: what cannot be removed is a warning. */
  async #settle(contents: CheckpointContents): Promise<void> {
    const { generation, runId } = contents;
    let after: Snapshot;
    try {
      after = await this.#snapshot();
      await this.#removeCommitted(superseded(after));
    } catch (thrown) {
      this.#onWarning(`Old checkpoints were not removed. ${toCoordError(thrown).message}`);
      return;
    }
    const readable = after.entries.filter((entry) => entry.state === "readable");
    const newer = readable.find(({ manifest }) => manifest.runId === runId && manifest.generation > generation);
    if (newer) {
      throw new CoordError(
        "STALE_GENERATION",
        `${newer.path} of generation ${newer.generation} came while a checkpoint of generation ${generation} was being saved: another coordinator has taken the run over.`,
      );
    }
    const whole = readable.filter((entry) => entry.whole);
    await this.remove(outOfRetention(whole, contents, this.options));
  }

  /** Removes what earlier saves left: attempts without a commit, of this generation or earlier ones. */
  async #cleanUp({ entries, objects }: Snapshot, generation: bigint): Promise<void> {
    const counted = new Set(entries.flatMap((entry) => (entry.state === "readable" ? [attemptKey(entry.id)] : [])));
    const committed = new Set<string>();
    for (const key of objects.keys()) {
      const parsed = parseKey(key);
      if (parsed.kind === "commit") committed.add(`${parsed.name}/${parsed.generation}`);
    }
    const aside = putAside(objects);
    const isOrphan = (key: string) => {
      const parsed = parseKey(key);
      if (parsed.kind !== "file" || parsed.generation > generation || counted.has(attemptKey(parsed))) return false;
      // A commit that cannot be read may mean this very attempt.
      return !aside(key) && !committed.has(`${parsed.name}/${parsed.generation}`);
    };
    await this.storage.remove([...objects.keys()].filter(isOrphan).map((key) => this.#prefix + key));
    const ours = (key: string) => {
      const parsed = parseKey(key.slice(this.#prefix.length));
      return parsed.kind === "file" && parsed.generation <= generation;
    };
    await this.storage.abandonUploads(`${this.#prefix}checkpoint-`, ours);
  }

  /** Moves the commit of a damaged checkpoint aside, for a person to look at; its files stay. Returns its new key. */
  async #putAside({ generation, name }: S3Entry): Promise<string> {
    const key = this.#prefix + commitKey(name, generation);
    const bytes = (await getSmall(this.storage, key, 1024 * 1024)) ?? new Uint8Array();
    // The same name again for the same commit, should this be cut off and repeated.
    const aside =
      this.#prefix + invalidCommitKey(name, generation, attemptOf(bytes) ?? `unread-${sha256Of([bytes]).slice(0, 8)}`);
    await this.storage.put(aside, [bytes], bytes.byteLength);
    await this.storage.remove([key]);
    return aside;
  }

  /** Commits first, so that nobody takes a checkpoint that has lost a file for one. What was put aside stays. */
  async #removeCommitted(keys: readonly string[]): Promise<void> {
    const known = keys.filter((key) => parseKey(key).kind !== "other").map((key) => this.#prefix + key);
    const isCommit = (key: string) => parseKey(key.slice(this.#prefix.length)).kind === "commit";
    await this.storage.remove(known.filter(isCommit));
    await this.storage.remove(known.filter((key) => !isCommit(key)));
  }

  async #discard(id: AttemptId): Promise<void> {
    const prefix = this.#prefix + attemptKey(id);
    await this.storage.remove((await this.storage.list(prefix)).map(({ key }) => key));
  }

  /** Errors name the objects, not the copies. */
  async #withCopy<Result>(
    { id, manifest }: Extract<S3Entry, { state: "readable" }>,
    use: (directory: string) => Promise<Result>,
    only?: readonly string[],
  ): Promise<Result> {
    const directory = await mkdtemp(join(tmpdir(), "coord-s3-"));
    const place = this.#prefix + attemptKey(id);
    try {
      const names = [manifestFile, ...manifest.files.map(({ name }) => name)];
      for (const name of names.filter((file) => only === undefined || only.includes(file))) {
        const pieces = await this.storage.get(place + name);
        // The reader says that it is missing.
        if (pieces) await streamDurably(hostFileSystem, join(directory, name), pieces, 0);
      }
      return await use(directory);
    } catch (thrown) {
      const error = toCoordError(thrown);
      const message = error.message.replaceAll(directory, this.storage.url(place).replace(/\/$/, ""));
      throw new CoordError(error.code, message, { cause: thrown });
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
}

/** Whether a commit has been written is not known. */
class UnknownOutcome extends CoordError {
  constructor(cause: CoordError) {
    super(cause.code, cause.message, { cause });
  }
}

/** The attempt that a commit names, if it can be read. */
function attemptOf(commit: Uint8Array): string | undefined {
  try {
    return decodeCommit(commit, "").attempt;
  } catch {
    return undefined;
  }
}

/** Tells keys of attempts whose commit was put aside: they stay, for a person. One that cannot be read may mean any. */
function putAside(objects: Snapshot["objects"]): (key: string) => boolean {
  const places = [...objects.keys()].flatMap((key) => {
    const [, place, attempt] = /^(.*\/g\d+)\.invalid-(?:([0-9a-f]{8})|unread-[0-9a-f]{8})\.json$/.exec(key) ?? [];
    return place === undefined ? [] : [attempt === undefined ? `${place}-` : `${place}-${attempt}/`];
  });
  return (key) => places.some((place) => key.startsWith(place));
}

/** Keys of commits and attempts that a whole checkpoint of the same step and a higher generation has replaced. */
function superseded({ entries, objects }: Snapshot): string[] {
  const aside = putAside(objects);
  return [...objects.keys()].filter((key) => {
    const parsed = parseKey(key);
    if (parsed.kind === "other" || aside(key)) return false;
    const entry = entries.find(({ name }) => name === parsed.name);
    return entry?.state === "readable" && entry.whole && parsed.generation < entry.generation;
  });
}

function shaOf(files: Manifest["files"], name: string): string | undefined {
  return files.find((file) => file.name === name)?.sha256;
}

function* hashing(pieces: Iterable<Uint8Array>, hash: ReturnType<typeof createHash>): Generator<Uint8Array> {
  for (const piece of pieces) {
    hash.update(piece);
    yield piece;
  }
}
