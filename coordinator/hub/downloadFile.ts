import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { backoffDelayMs } from "../../shared/backoff.ts";
import { systemClock } from "../../shared/clock.ts";
import { CoordError } from "../../shared/errors.ts";
import { fileError } from "../../shared/process/atomicFile.ts";

export interface Download {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly size: number;
  /** SHA-256 of the file, or the SHA-1 that git gives it. */
  readonly hash: { readonly kind: "sha256" | "git"; readonly value: string };
  /** Where the whole file goes; `PATH.incomplete` holds what is there so far, and is continued. */
  readonly path: string;
  readonly stallTimeoutMs: number;
  readonly signal: AbortSignal;
  /** Called with the bytes that are there, whenever there are more. */
  readonly onBytes: (done: number) => void;
}

/** Attempts in a row that may bring nothing. */
const maxFruitless = 4;
const pause = { firstMs: 200, maxMs: 5000 };

/**
 * Downloads a file, from where an earlier attempt stopped, and gives it its name once size and hash are right. Throws
 * DOWNLOAD_FAILED with the URL, STORAGE_FAILED, and the signal's reason when it is aborted.
 */
export async function downloadFile(job: Download): Promise<void> {
  const partial = `${job.path}.incomplete`;
  const resumed = (await sizeOf(partial)) > 0;
  await fetchRest(job, partial);
  if (!(await hasHash(partial, job))) {
    await rm(partial, { force: true });
    // What was there before may have been of another file; only a whole download speaks for the server.
    if (resumed) await fetchRest(job, partial);
    if (!resumed || !(await hasHash(partial, job))) {
      await rm(partial, { force: true });
      throw failed(
        job.url,
        `what arrived does not have the announced hash ${job.hash.value}; it may have been changed on the way`,
      );
    }
  }
  await rename(partial, job.path).catch((thrown: unknown) => {
    throw fileError(thrown, "write", job.path);
  });
}

/** DOWNLOAD_FAILED with the URL and the way out. */
export function failed(url: string, why: string, cause?: unknown): CoordError {
  return new CoordError(
    "DOWNLOAD_FAILED",
    `Downloading ${url} failed: ${why}. Start again to continue, or set HF_ENDPOINT to a mirror such as https://hf-mirror.com.`,
    { cause },
  );
}

async function fetchRest(job: Download, partial: string): Promise<void> {
  const file = await open(partial, "a+").catch((thrown: unknown) => {
    throw fileError(thrown, "write", partial);
  });
  try {
    let done = (await file.stat()).size;
    if (done > job.size) {
      await file.truncate(0);
      done = 0;
    }
    job.onBytes(done);
    for (let fruitless = 0; done < job.size; ) {
      const attempt = await fetchOnce(job, file, done);
      fruitless = attempt.done > done ? 0 : fruitless + 1;
      done = attempt.done;
      if (done === job.size) break;
      // A connection that never brings anything for so long is not worth waiting for once more.
      if (fruitless > maxFruitless || (fruitless > 0 && attempt.stalled))
        throw failed(job.url, attempt.reason, attempt.cause);
      await systemClock.sleep(backoffDelayMs(fruitless, Math.random(), pause), job.signal);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

interface Attempt {
  readonly done: number;
  /** Why it ended before the file did. */
  readonly reason: string;
  readonly stalled: boolean;
  readonly cause?: unknown;
}

/** One request, from byte `from` on. Throws only what another one would not mend. */
async function fetchOnce(job: Download, file: FileHandle, from: number): Promise<Attempt> {
  let done = from;
  const stall = new AbortController();
  const timer = setTimeout(() => stall.abort(), job.stallTimeoutMs);
  try {
    const response = await fetch(job.url, {
      headers: { ...job.headers, "accept-encoding": "identity", ...(from > 0 && { range: `bytes=${from}-` }) },
      signal: AbortSignal.any([job.signal, stall.signal]),
    });
    const again = retryReason(response, job.url);
    // A server that does not know ranges sends everything; one that mixes them up is asked for everything.
    const continues = response.status === 206 && startOfRange(response) === from;
    if (from > 0 && !continues && (again === undefined || response.status === 416)) {
      await file.truncate(0);
      done = 0;
    }
    if (again !== undefined || (response.status === 206 && !continues)) {
      await response.body?.cancel();
      return { done, reason: again ?? "the server sends another range than asked for", stalled: false };
    }
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      timer.refresh();
      await writeAll(file, chunk, job.path);
      done += chunk.length;
      if (done > job.size) throw failed(job.url, `more arrives than the announced ${job.size} bytes`);
      job.onBytes(done);
    }
    return { done, reason: `it ended after ${done} of ${job.size} bytes`, stalled: false };
  } catch (thrown) {
    job.signal.throwIfAborted();
    if (thrown instanceof CoordError) throw thrown;
    const stalled = stall.signal.aborted;
    const reason = stalled
      ? `no bytes for ${job.stallTimeoutMs / 1000} s (--download-stall-timeout-ms) at ${done} of ${job.size}`
      : `the connection broke at ${done} of ${job.size} bytes (${reasonOf(thrown)})`;
    return { done, reason, stalled, cause: thrown };
  } finally {
    clearTimeout(timer);
  }
}

/** Undefined for a good answer; throws where asking again is of no use. */
function retryReason({ ok, status }: Response, url: string): string | undefined {
  if (ok) return undefined;
  if (status === 416 || status === 408 || status === 429 || status >= 500) return `the server answers ${status}`;
  if (status === 401 || status === 403) {
    throw failed(
      url,
      `the server answers ${status}: set HF_TOKEN to a token that may read it, and accept its terms on the hub`,
    );
  }
  throw failed(url, `the server answers ${status}`);
}

function startOfRange(response: Response): number | undefined {
  const start = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
  return start === undefined ? undefined : Number(start);
}

async function writeAll(file: FileHandle, chunk: Uint8Array, path: string): Promise<void> {
  try {
    await file.appendFile(chunk);
  } catch (thrown) {
    throw fileError(thrown, "write", path);
  }
}

async function hasHash(path: string, { hash, size }: Download): Promise<boolean> {
  const sum = createHash(hash.kind === "git" ? "sha1" : "sha256");
  if (hash.kind === "git") sum.update(`blob ${size}\0`);
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) sum.update(chunk as Buffer);
  return sum.digest("hex") === hash.value;
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}

/** undici hides the reason in the cause: "fetch failed" alone helps nobody. */
export function reasonOf(thrown: unknown): string {
  const { cause, message } = thrown instanceof Error ? thrown : { cause: undefined, message: String(thrown) };
  return cause instanceof Error ? cause.message || String((cause as NodeJS.ErrnoException).code) : message;
}
