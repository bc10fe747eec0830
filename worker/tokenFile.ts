import { createReadStream, statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { text } from "node:stream/consumers";
import { CoordError } from "../shared/errors.ts";
import { writeFileAtomic } from "../shared/process/atomicFile.ts";

/**
 * The path of a credentials file that can be read again: by workers, too, and after a restart. What comes through a file
 * descriptor (`/dev/stdin`, `/dev/fd/3`) or a named pipe is kept in `copy`, for this user alone.
 */
export async function lastingTokenFile(path: string, copy: string): Promise<string> {
  try {
    const descriptor = descriptorOf(path);
    if (descriptor === undefined && statSync(path).isFile()) return path;
    const credentials = await text(open(path, descriptor));
    await mkdir(dirname(copy), { recursive: true, mode: 0o700 });
    await writeFileAtomic(copy, credentials, { mode: 0o600 });
    return copy;
  } catch (cause) {
    if (cause instanceof CoordError) throw cause;
    throw new CoordError("CONFIG_INVALID", `COORD_TOKEN_FILE names ${path}, which cannot be read.`, { cause });
  }
}

/** sshd hands standard input over as a socket, which cannot be opened by its name a second time. */
function open(path: string, descriptor: number | undefined): NodeJS.ReadableStream {
  if (descriptor === 0) return process.stdin;
  return descriptor === undefined ? createReadStream(path) : createReadStream("", { fd: descriptor });
}

function descriptorOf(path: string): number | undefined {
  if (path === "/dev/stdin") return 0;
  const number = /^\/(?:dev|proc\/self)\/fd\/(\d{1,4})$/.exec(path)?.[1];
  return number === undefined ? undefined : Number(number);
}
