import { createHash } from "node:crypto";
import type { FileSystem } from "./fileSystem.ts";
import { storageError } from "./storageError.ts";

/** Small enough that hashing one piece does not delay a heartbeat. */
const pieceBytes = 4 * 1024 * 1024;

/** Size in bytes and SHA-256 (hex) of a file. */
export interface FileFacts {
  readonly size: number;
  readonly sha256: string;
}

/** Creates a file exclusively, writes, hashes and syncs it. Throws STORAGE_FAILED. */
export function writeDurably(fs: FileSystem, path: string, parts: readonly Uint8Array[]): Promise<FileFacts> {
  return streamDurably(fs, path, piecesOf(parts), sizeOf(parts));
}

/** The same for content that is made while it is written; `size` is what it will come to, for the message. */
export async function streamDurably(
  fs: FileSystem,
  path: string,
  pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  size: number,
): Promise<FileFacts> {
  const hash = createHash("sha256");
  try {
    const writer = await fs.createFile(path);
    try {
      for await (const piece of pieces) {
        // Hashed while the system writes it: whichever is slower decides.
        const written = writer.write(piece);
        hash.update(piece);
        await written;
      }
      await writer.sync();
    } finally {
      await writer.close();
    }
  } catch (thrown) {
    throw storageError(thrown, "write", path, size);
  }
  return { size, sha256: hash.digest("hex") };
}

/** Bytes of a file in pieces. */
export function sizeOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.byteLength, 0);
}

/** SHA-256 (hex) that a file of these bytes would have. */
export function sha256Of(parts: readonly Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

/** The same bytes, in pieces that are views. */
export function* piecesOf(parts: readonly Uint8Array[]): Generator<Uint8Array> {
  for (const part of parts) {
    for (let at = 0; at < part.byteLength; at += pieceBytes) yield part.subarray(at, at + pieceBytes);
  }
}
