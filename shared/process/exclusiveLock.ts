import { constants } from "node:fs";
import { mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { systemClock } from "../clock.ts";
import { createFileAtomic, errorCode, fileError, readJsonFile } from "./atomicFile.ts";
import { isAlive, ownIdentity, processIdentitySchema } from "./identity.ts";

const lockFileSchema = z.strictObject({
  runId: z.string().max(128),
  host: z.string().max(256),
  process: processIdentitySchema,
});

/** Who holds, or held, a lock. */
export type LockHolder = z.infer<typeof lockFileSchema>;

/** A lock in our hands. */
export interface HeldLock {
  release(): Promise<void>;
}

/** The state of one file of a lock. */
export interface LockEntry {
  readonly path: string;
  readonly number: number;
  /** Undefined when the file is damaged. */
  readonly holder: LockHolder | undefined;
  readonly alive: boolean;
}

/** Milliseconds between two signs of life of a holder, for contenders that cannot see its process. */
const refreshMs = 10_000;
/** Milliseconds without one after which a holder on another host, in another container or before a reboot is gone. */
const silentMs = 60_000;
const maxAttempts = 8;

/**
 * Takes the lock at `path` for this process, over from a holder that is gone. Returns the living holder instead when
 * there is one. Of any number of contenders at most one gets it. Throws STORAGE_FAILED.
 *
 * The lock is the files PATH.1, PATH.2, …: a taker creates the next number exclusively, so that two that found the same
 * dead holder cannot both succeed it, and then looks again, so that a file removed meanwhile cannot let two in either.
 */
export async function acquireLock(path: string, runId: string): Promise<HeldLock | { readonly holder: LockHolder }> {
  const own: LockHolder = { runId, host: hostname(), process: ownIdentity() };
  await makeDirectory(dirname(path));
  let seen = own;
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    if (attempt > 0) await systemClock.sleep(Math.random() * 10 * attempt);
    const entries = await readLock(path);
    const living = entries.find(({ alive }) => alive);
    if (living?.holder) return { holder: living.holder };

    const mine = `${path}.${Math.max(0, ...entries.map(({ number }) => number)) + 1}`;
    if (!(await createFileAtomic(mine, `${JSON.stringify(own)}\n`))) continue;
    const others = (await readLock(path)).filter((entry) => entry.path !== mine);
    const rival = others.find(({ alive }) => alive);
    if (rival === undefined) {
      for (const { path: dead } of others) await rm(dead, { force: true });
      return hold(mine);
    }
    await rm(mine, { force: true });
    seen = rival.holder ?? seen;
  }
  return { holder: seen };
}

/** The files of a lock, with whether their holders live. */
export async function readLock(path: string): Promise<LockEntry[]> {
  const prefix = `${basename(path)}.`;
  const entries: LockEntry[] = [];
  for (const name of await listNames(dirname(path))) {
    const digits = name.startsWith(prefix) ? name.slice(prefix.length) : "";
    if (/^\d{1,9}$/.test(digits)) entries.push(await readEntry(join(dirname(path), name), Number(digits)));
  }
  return entries.sort((a, b) => a.number - b.number);
}

async function readEntry(path: string, number: number): Promise<LockEntry> {
  try {
    const holder = await readJsonFile(path, lockFileSchema);
    return { path, number, holder, alive: holder !== undefined && (await isHolderAlive(path, holder)) };
  } catch {
    // Lock files appear complete, so a damaged one is nobody's; the next number goes past it.
    return { path, number, holder: undefined, alive: false };
  }
}

async function isHolderAlive(path: string, holder: LockHolder): Promise<boolean> {
  if (holder.process.bootId === ownIdentity().bootId) return isAlive(holder.process);
  return (await silenceMs(path)) < silentMs;
}

/** Milliseconds since the last sign of life, by the clock of the file system: hosts' clocks differ. */
async function silenceMs(path: string): Promise<number> {
  const probe = join(dirname(path), `.${basename(path)}.${process.pid}.now`);
  try {
    // Opening, unlike stat, asks a network file system's server for the current time stamp.
    const file = await open(path, "r");
    const touched = await file.stat().finally(() => file.close());
    const now = await open(probe, constants.O_CREAT | constants.O_WRONLY | constants.O_TRUNC, 0o600);
    try {
      await now.write("\n");
      await now.sync();
      return (await now.stat()).mtimeMs - touched.mtimeMs;
    } finally {
      await now.close();
      await rm(probe, { force: true });
    }
  } catch (thrown) {
    if (errorCode(thrown) === "ENOENT") return Number.POSITIVE_INFINITY;
    throw fileError(thrown, "read", path);
  }
}

function hold(path: string): HeldLock {
  const timer = setInterval(() => void touch(path).catch(() => {}), refreshMs);
  timer.unref();
  return {
    async release() {
      clearInterval(timer);
      await rm(path, { force: true });
    },
  };
}

async function touch(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    // The same byte again: the time stamp comes from the file system's clock, where utimes would set this host's.
    await file.write("{", 0);
  } finally {
    await file.close();
  }
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await stat(path);
  } catch (thrown) {
    throw fileError(thrown, "create", path);
  }
}

async function listNames(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (thrown) {
    if (errorCode(thrown) === "ENOENT") return [];
    throw fileError(thrown, "read", directory);
  }
}
