import { constants, createReadStream, type ReadStream } from "node:fs";
import { access, stat } from "node:fs/promises";
import { createGunzip } from "node:zlib";
import { CoordError } from "../../../shared/errors.ts";
import { isGzip } from "./dataKind.ts";

/** Bytes of one row; a longer one is a file of another kind, and would not fit in memory beside the others. */
export const maxRowBytes = 64 * 1024 * 1024;

const chunkBytes = 1024 * 1024;

/** Size and time of a data file, to notice when it changes while it is read. */
export interface DataFileState {
  readonly size: number;
  readonly modifiedMs: number;
}

/** Checks that `path` is a file with something in it that may be read. Throws DATA_INVALID. */
export async function inspectDataFile(path: string): Promise<DataFileState> {
  let found: Awaited<ReturnType<typeof stat>>;
  try {
    found = await stat(path);
    await access(path, constants.R_OK);
  } catch (thrown) {
    throw unreadable(path, thrown);
  }
  if (found.isDirectory()) {
    throw new CoordError("DATA_INVALID", `The data set ${path} is a directory; name the file in it.`);
  }
  if (!found.isFile()) throw new CoordError("DATA_INVALID", `The data set ${path} is not a regular file.`);
  if (found.size === 0) throw new CoordError("DATA_INVALID", `The data set ${path} is empty (0 bytes).`);
  return { size: found.size, modifiedMs: found.mtimeMs };
}

/** Told how many more bytes of a file, as it lies on disk, have been read. */
export type OnRead = (bytes: number) => void;

/** The bytes of the file, decompressed and without a leading byte-order mark, in chunks. Throws DATA_INVALID. */
export async function* readDataBytes(path: string, signal: AbortSignal, onRead?: OnRead): AsyncGenerator<Buffer> {
  let first = true;
  let reported = 0;
  try {
    const compressed = await isGzip(path);
    const source = createReadStream(path, { highWaterMark: chunkBytes, signal });
    for await (const chunk of compressed ? gunzip(source) : (source as AsyncIterable<Buffer>)) {
      onRead?.(source.bytesRead - reported);
      reported = source.bytesRead;
      // A read of at least 3 bytes is the rule; a file so short that it is not holds no row either.
      const marked = first && chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf;
      first = false;
      yield marked ? chunk.subarray(3) : chunk;
    }
  } catch (thrown) {
    signal.throwIfAborted();
    throw thrown instanceof CoordError ? thrown : unreadable(path, thrown);
  }
}

async function* gunzip(source: ReadStream): AsyncGenerator<Buffer> {
  const output = createGunzip({ chunkSize: chunkBytes });
  source.once("error", (error) => output.destroy(error));
  try {
    yield* source.pipe(output) as AsyncIterable<Buffer>;
  } finally {
    source.destroy();
    output.destroy();
  }
}

/** Why a data file cannot be read, as DATA_INVALID. */
export function unreadable(path: string, thrown: unknown): CoordError {
  const code = (thrown as NodeJS.ErrnoException).code;
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new CoordError("DATA_INVALID", `The data set ${path} does not exist; check --data.`, { cause: thrown });
  }
  if (code === "EACCES" || code === "EPERM") {
    return new CoordError("DATA_INVALID", `The data set ${path} may not be read: no permission.`, { cause: thrown });
  }
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new CoordError("DATA_INVALID", `The data set ${path} cannot be read: ${reason}.`, { cause: thrown });
}

/** The first character that is neither white space nor a byte-order mark; undefined where there is none. */
export function firstCharacter(bytes: Buffer): string | undefined {
  // Latin-1 keeps each byte one character, so a character cut by the chunk's end does no harm.
  return /[^ \t\r\n\u00ef\u00bb\u00bf]/.exec(bytes.toString("latin1"))?.[0];
}
