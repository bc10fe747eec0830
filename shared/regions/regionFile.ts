import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { CoordError } from "../errors.ts";
import { Digest64 } from "../tensors/digest.ts";

/** Bytes that are read in a thread of their own while the block before them is digested in ours. */
const blockBytes = 2 * 1024 ** 2;

/** Opens a region for writing, and makes it where there is none. */
export function openForWriting(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
}

/** Opens a region for reading; refuses links and whatever is not a plain file. */
export async function openForReading(path: string): Promise<FileHandle> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw new CoordError("INVALID_REQUEST", `The region ${path} is not a file.`);
}

/** Writes `bytes` to the start of a region. */
export async function writeRegion(region: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    done += (await region.write(bytes, done, bytes.byteLength - done, done)).bytesWritten;
  }
}

/** Fills `into` from the start of a region and returns the digest of what was read. */
export async function readRegion(region: FileHandle, into: Uint8Array): Promise<bigint> {
  const digest = new Digest64();
  let last: Uint8Array = into.subarray(0, 0);
  for (let position = 0; position < into.byteLength; position += blockBytes) {
    const block = into.subarray(position, position + blockBytes);
    const reading = fill(region, block, position);
    digest.update(last);
    await reading;
    last = block;
  }
  return digest.update(last).value();
}

async function fill(region: FileHandle, block: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < block.byteLength; ) {
    const { bytesRead } = await region.read(block, done, block.byteLength - done, position + done);
    if (bytesRead === 0) throw new CoordError("INVALID_REQUEST", "A region is shorter than was said.");
    done += bytesRead;
  }
}
