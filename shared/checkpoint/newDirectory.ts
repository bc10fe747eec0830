import { randomUUID } from "node:crypto";
import { readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CoordError } from "../errors.ts";
import { type FileSystem, makeDirectoryDurably } from "./fileSystem.ts";
import { storageError } from "./storageError.ts";

/**
 * Fills a new directory all or nothing: `fill` writes into a private one beside it, which then takes its place. What is
 * at `path` may be nothing or an empty directory. Throws CONFIG_INVALID for anything else, STORAGE_FAILED.
 */
export async function fillNewDirectory(
  fs: FileSystem,
  path: string,
  fill: (temporary: string) => Promise<void>,
): Promise<void> {
  await refuseOccupied(path);
  const parent = dirname(path);
  const temporary = join(parent, `.tmp-${basename(path)}-${randomUUID()}`);
  try {
    await makeDirectoryDurably(fs, parent);
    await fs.makeDirectory(temporary);
    await fill(temporary);
    await fs.syncDirectory(temporary);
    await fs.rename(temporary, path);
    await fs.syncDirectory(parent);
  } catch (thrown) {
    await fs.remove(temporary).catch(() => undefined);
    throw storageError(thrown, "write", path);
  }
}

async function refuseOccupied(path: string): Promise<void> {
  try {
    if ((await readdir(path)).length === 0) return;
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === "ENOENT") return;
    if (code !== "ENOTDIR") throw storageError(thrown, "read the directory", path);
  }
  throw new CoordError("CONFIG_INVALID", `${path} is there already; choose another directory, or move it away.`);
}
