import { mkdir, open, rename, rm, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { CoordError } from "../errors.ts";

/** A file being written. */
export interface FileWriter {
  /** Writes all of `bytes` behind what was written before. */
  write(bytes: Uint8Array): Promise<void>;
  /** Returns when the bytes would survive a loss of power. After a failure the data is gone: abandon the file. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Every operation that changes what is on disk, and its free space. The seam at which tests inject faults and crashes. */
export interface FileSystem {
  /** Makes a directory and those above it; returns the topmost one made, if any. */
  makeDirectory(path: string): Promise<string | undefined>;
  /** Creates a file; fails where anything has that name already, a symbolic link included. */
  createFile(path: string): Promise<FileWriter>;
  rename(from: string, to: string): Promise<void>;
  /** Makes the entries of a directory survive a loss of power. */
  syncDirectory(path: string): Promise<void>;
  /** Removes a file or a directory with its contents; nothing there is no error. */
  remove(path: string): Promise<void>;
  /** Bytes that this user may still write to the file system of a path; undefined where it does not say. */
  freeBytes(path: string): Promise<number | undefined>;
}

/** The host's own file system. */
export const hostFileSystem: FileSystem = {
  makeDirectory: (path) => mkdir(path, { recursive: true }),
  async createFile(path) {
    const handle = await open(path, "wx");
    return {
      async write(bytes) {
        for (let written = 0; written < bytes.length; ) {
          written += (await handle.write(bytes, written, bytes.length - written)).bytesWritten;
        }
      },
      sync: () => handle.sync(),
      close: () => handle.close(),
    };
  },
  rename: (from, to) => rename(from, to),
  async syncDirectory(path) {
    const handle = await open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  remove: (path) => rm(path, { recursive: true, force: true }),
  async freeBytes(path) {
    const { bavail, blocks, bsize } = await statfs(path);
    // Some network and FUSE file systems report nothing at all.
    return blocks === 0 ? undefined : bavail * bsize;
  },
};

/** Throws STORAGE_FAILED, before anything is written, where `needed` bytes for `what` do not fit. */
export async function requireSpace(fs: FileSystem, directory: string, needed: number, what: string): Promise<void> {
  const free = await fs.freeBytes(directory).catch(() => undefined);
  if (free === undefined || free >= needed) return;
  throw new CoordError(
    "STORAGE_FAILED",
    `${what} needs ${needed} bytes, but ${free} bytes are free at ${directory}: free space there, or choose another directory or a smaller --save-total-limit.`,
  );
}

/** Makes a directory whose own entry, and those of the directories made above it, survive a loss of power. */
export async function makeDirectoryDurably(fs: FileSystem, path: string): Promise<void> {
  const topmost = await fs.makeDirectory(path);
  if (topmost === undefined) return;
  for (let made = path; ; made = dirname(made)) {
    await fs.syncDirectory(dirname(made));
    if (made === topmost || dirname(made) === made) return;
  }
}
