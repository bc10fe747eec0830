import { createHash } from "node:crypto";
import { CoordError } from "../../errors.ts";
import { decodeManifest, type Manifest, NewerFormat } from "../manifest.ts";
import { sortEntries, stepOf } from "../storeRules.ts";
import { manifestFile } from "../types.ts";
import { decodeCommit } from "./commit.ts";
import { type AttemptId, attemptKey, commitKey, parseKey } from "./keys.ts";
import { getSmall, type ObjectEntry, type ObjectStorage } from "./objectStorage.ts";

const maxCommitBytes = 4096;
const maxManifestBytes = 1024 * 1024;

/** A checkpoint of the bucket: of several commits of a step the one of the highest generation. */
export type S3Entry = {
  readonly name: string;
  readonly path: string;
  readonly step: number;
  readonly generation: bigint;
} & (
  | {
      readonly state: "readable";
      readonly manifest: Manifest;
      readonly savedAtMs: number;
      readonly id: AttemptId;
      /** Every file of the manifest is there with its size. */
      readonly whole: boolean;
    }
  | { readonly state: "unreadable"; readonly reason: string; readonly newerFormat: boolean }
);

/** What is below the prefix of a store at one moment. */
export interface Snapshot {
  readonly entries: S3Entry[];
  /** Keys without the prefix. */
  readonly objects: ReadonlyMap<string, ObjectEntry>;
}

/** Reads the listing, all commits and their manifests. `prefix` ends with a slash or is empty. */
export async function takeSnapshot(storage: ObjectStorage, prefix: string): Promise<Snapshot> {
  const listed = await storage.list(`${prefix}checkpoint-`);
  const objects = new Map(listed.map((entry) => [entry.key.slice(prefix.length), entry]));
  const newest = new Map<string, bigint>();
  for (const key of objects.keys()) {
    const parsed = parseKey(key);
    if (parsed.kind !== "commit") continue;
    const known = newest.get(parsed.name);
    if (known === undefined || parsed.generation > known) newest.set(parsed.name, parsed.generation);
  }
  const found = await Promise.all([...newest].map((commit) => readEntry(storage, prefix, commit, objects)));
  const entries = found.filter((entry) => entry !== undefined);
  sortEntries(entries);
  return { entries, objects };
}

async function readEntry(
  storage: ObjectStorage,
  prefix: string,
  [name, generation]: readonly [string, bigint],
  objects: Snapshot["objects"],
): Promise<S3Entry | undefined> {
  const key = commitKey(name, generation);
  const place = { name, generation, path: storage.url(`${prefix}${name}`), step: stepOf(name)! };
  try {
    const bytes = await getSmall(storage, prefix + key, maxCommitBytes);
    // Removed since the listing.
    if (!bytes && objects.get(key)!.size <= maxCommitBytes) return undefined;
    const { attempt, manifestSha256 } = decodeCommit(bytes ?? new Uint8Array(), storage.url(prefix + key));
    const id = { name, generation, attempt };
    const manifest = await readManifest(storage, prefix, id, manifestSha256);
    if (manifest.step !== place.step || manifest.generation !== generation) {
      throw new CoordError("CHECKPOINT_INVALID", `${storage.url(prefix + key)} is of another step or generation.`);
    }
    const whole = manifest.files.every((file) => objects.get(attemptKey(id, file.name))?.size === file.size);
    return { ...place, state: "readable", manifest, savedAtMs: objects.get(key)!.modifiedMs, id, whole };
  } catch (thrown) {
    if (!(thrown instanceof CoordError) || thrown.code !== "CHECKPOINT_INVALID") throw thrown;
    return { ...place, state: "unreadable", reason: thrown.message, newerFormat: thrown instanceof NewerFormat };
  }
}

async function readManifest(storage: ObjectStorage, prefix: string, id: AttemptId, sha256: string): Promise<Manifest> {
  const key = prefix + attemptKey(id, manifestFile);
  const bytes = await getSmall(storage, key, maxManifestBytes);
  if (!bytes) throw new CoordError("CHECKPOINT_INVALID", `${storage.url(key)} is missing.`);
  // First, so that a newer format is named rather than called damaged.
  const manifest = decodeManifest(new TextDecoder().decode(bytes), storage.url(key));
  if (createHash("sha256").update(bytes).digest("hex") === sha256) return manifest;
  throw new CoordError("CHECKPOINT_INVALID", `${storage.url(key)} is damaged: its SHA-256 is not the commit's.`);
}
