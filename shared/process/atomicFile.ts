import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { link, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { CoordError } from "../errors.ts";

/** No file of ours comes near this size in bytes; a larger one is not ours and not worth the memory. */
const maxJsonBytes = 4 * 1024 * 1024;

/**
 * Writes a file so that readers and a loss of power see the old content or the new one, never a part.
 * Throws STORAGE_FAILED.
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  { mode = 0o600 }: { mode?: number } = {},
): Promise<void> {
  await throughTemporary(path, data, mode, (temporary) => rename(temporary, path));
}

/** Like writeFileAtomic, but returns false and changes nothing where the path exists: of many callers one wins. */
export async function createFileAtomic(
  path: string,
  data: string | Uint8Array,
  { mode = 0o600 }: { mode?: number } = {},
): Promise<boolean> {
  let created = true;
  await throughTemporary(path, data, mode, async (temporary) => {
    try {
      await link(temporary, path);
    } catch (thrown) {
      if (errorCode(thrown) !== "EEXIST") throw thrown;
      created = false;
    }
    await rm(temporary);
  });
  return created;
}

/**
 * Reads and checks a JSON file; undefined where there is none. Throws STORAGE_FAILED naming the file and what is wrong
 * with it. Symbolic links are not followed.
 */
export async function readJsonFile<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const text = await readSmallFile(path);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CoordError("STORAGE_FAILED", `${path} is damaged: it is not JSON; move it away.`, { cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problem = z.prettifyError(parsed.error).replaceAll("\n", " ");
  throw new CoordError("STORAGE_FAILED", `${path} is damaged or of another version: ${problem}; move it away.`);
}

async function readSmallFile(path: string): Promise<string | undefined> {
  try {
    // O_NONBLOCK: a named pipe planted there must not hang us.
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const facts = await file.stat();
      if (!facts.isFile()) throw new CoordError("STORAGE_FAILED", `${path} is not a regular file; move it away.`);
      if (facts.size > maxJsonBytes) {
        throw new CoordError(
          "STORAGE_FAILED",
          `${path} has ${facts.size} bytes where at most ${maxJsonBytes} are expected.`,
        );
      }
      return await file.readFile("utf8");
    } finally {
      await file.close();
    }
  } catch (thrown) {
    if (errorCode(thrown) === "ENOENT") return undefined;
    throw fileError(thrown, "read", path);
  }
}

async function throughTemporary(
  path: string,
  data: string | Uint8Array,
  mode: number,
  publish: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    const file = await open(temporary, "wx", mode);
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await publish(temporary);
    await syncDirectory(dirname(path));
  } catch (thrown) {
    await rm(temporary, { force: true }).catch(() => {});
    throw fileError(thrown, "write", path);
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Wraps what a file operation threw: STORAGE_FAILED with the path and the way out. */
export function fileError(thrown: unknown, doing: string, path: string): CoordError {
  if (thrown instanceof CoordError) return thrown;
  const code = errorCode(thrown);
  const why = remedies[code ?? ""] ?? (thrown instanceof Error ? thrown.message : String(thrown));
  return new CoordError("STORAGE_FAILED", `Could not ${doing} ${path}: ${why}.`, { cause: thrown });
}

const remedies: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full; free space there",
  EDQUOT: "your disk quota is used up; free space there",
  EROFS: "the file system is mounted read-only",
  EACCES: "permission was denied; allow this user to work there",
  EPERM: "the operation is not permitted there",
  ENOENT: "the directory does not exist",
  ENOTDIR: "a part of the path is a file",
  ELOOP: "it is a symbolic link, where a file is expected",
  EIO: "the device reports an I/O error; check the disk",
};

/** The system's name of an error ("ENOENT"), if it has one. */
export function errorCode(thrown: unknown): string | undefined {
  const code: unknown = thrown instanceof Error ? (thrown as NodeJS.ErrnoException).code : undefined;
  return typeof code === "string" ? code : undefined;
}
