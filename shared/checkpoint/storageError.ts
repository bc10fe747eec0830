import { CoordError } from "../errors.ts";

const remedies: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full; free space there, or choose another --output or a smaller --save-total-limit",
  EDQUOT: "your disk quota is used up; free space there, or choose another --output or a smaller --save-total-limit",
  EFBIG: "the file system does not take files of that size; choose another --output",
  EROFS: "the file system is mounted read-only; mount it writable or choose another --output",
  EACCES: "permission was denied; allow this user to write there or choose another --output",
  EPERM: "the operation is not permitted there; allow this user to write there or choose another --output",
  EIO: "the device reports an I/O error; check the disk before trusting it with another checkpoint",
  ESTALE:
    "the network file system has lost the directory (stale handle); mount it again or choose another --output, then coord resume",
  ENOTDIR: "a part of the path is a file; choose another --output",
  EEXIST: "something else is there already; look at it and move it away",
  EMFILE: "too many files are open; raise the limit (ulimit -n)",
};

/** Wraps what a file operation threw: STORAGE_FAILED with the path, the bytes concerned and the way out. */
export function storageError(thrown: unknown, doing: string, path: string, bytes?: number): CoordError {
  if (thrown instanceof CoordError) return thrown;
  const { code = "unknown", message } = thrown as NodeJS.ErrnoException;
  const size = bytes === undefined ? "" : ` (${bytes} bytes)`;
  const why = remedies[code] ?? message;
  return new CoordError("STORAGE_FAILED", `Could not ${doing} ${path}${size}: ${why} (${code}).`, { cause: thrown });
}
