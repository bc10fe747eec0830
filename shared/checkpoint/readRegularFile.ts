import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { CoordError } from "../errors.ts";

/**
 * Opens a file of a checkpoint and hands it to `use`. A symbolic link, FIFO or device is refused without following it
 * or waiting for it: what a manifest names may have been put there by somebody else. Throws CHECKPOINT_INVALID.
 */
export async function withRegularFile<Result>(
  path: string,
  use: (handle: FileHandle, size: number) => Promise<Result>,
): Promise<Result> {
  const invalid = (why: string, cause?: unknown) => new CoordError("CHECKPOINT_INVALID", `${path} ${why}.`, { cause });
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    if (code === "ENOENT") throw invalid("is missing", thrown);
    if (code === "ELOOP") throw invalid("is a symbolic link, not a regular file", thrown);
    throw invalid(`cannot be read: ${message}`, thrown);
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw invalid("is not a regular file");
    return await use(handle, stat.size);
  } catch (thrown) {
    throw thrown instanceof CoordError ? thrown : invalid(`cannot be read: ${(thrown as Error).message}`, thrown);
  } finally {
    await handle.close();
  }
}

/** Reads a text file of at most `maxBytes`. Throws CHECKPOINT_INVALID. */
export function readTextFile(path: string, maxBytes: number): Promise<string> {
  return withRegularFile(path, async (handle, size) => {
    if (size > maxBytes) {
      throw new CoordError("CHECKPOINT_INVALID", `${path} has ${size} bytes, more than the ${maxBytes} allowed.`);
    }
    return new TextDecoder("utf-8", { fatal: true }).decode(await handle.readFile());
  });
}

/** Size and SHA-256 (hex) of a file, read in pieces. Throws CHECKPOINT_INVALID. */
export function hashFile(path: string): Promise<{ size: number; sha256: string }> {
  return withRegularFile(path, async (handle, expected) => {
    const hash = createHash("sha256");
    const piece = new Uint8Array(Math.max(1, Math.min(expected, 4 * 1024 * 1024)));
    for (let size = 0; ; ) {
      const { bytesRead } = await handle.read(piece, 0, piece.length, size);
      if (bytesRead === 0) return { size, sha256: hash.digest("hex") };
      hash.update(piece.subarray(0, bytesRead));
      size += bytesRead;
    }
  });
}
