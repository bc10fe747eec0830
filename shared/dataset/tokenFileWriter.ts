import { createHash, randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { fileError } from "../process/atomicFile.ts";
import { NumberList } from "./numberList.ts";
import {
  encodePreamble,
  encodeSampleBytes,
  preambleBytes,
  type TokenCounts,
  type TokenFileHeader,
} from "./tokenFileFormat.ts";

const flushBytes = 4 * 1024 * 1024;

/** What the writer cannot count itself. */
export type RowCounts = Pick<TokenCounts, "rows" | "truncated" | "cutTokens" | "tooLong" | "unlabelled" | "cut">;

/**
 * Writes a token file under a private name beside `path` and renames it into place when it is whole and on disk, so
 * nobody ever sees a part of one. Call `append` for each sample in order, then `commit`, or else `abandon`.
 * Throws STORAGE_FAILED.
 */
export class TokenFileWriter {
  static async create(path: string, width: 2 | 4): Promise<TokenFileWriter> {
    const temporary = `${path}.${process.pid}-${randomUUID()}.part`;
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    const handle = await storing(temporary, () => open(temporary, flags, 0o600));
    return new TokenFileWriter(path, temporary, handle, width);
  }

  readonly #hash = createHash("sha256");
  readonly #lengths = new NumberList();
  readonly #checksums = new NumberList();
  /** Only to tell how many labels are not in the held-out samples. */
  readonly #labels = new NumberList();
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #offset = preambleBytes;

  private constructor(
    private readonly path: string,
    private readonly temporary: string,
    private readonly handle: FileHandle,
    private readonly width: 2 | 4,
  ) {}

  get samples(): number {
    return this.#lengths.length;
  }

  async append(ids: Uint32Array, mask: Uint8Array): Promise<void> {
    const bytes = encodeSampleBytes(ids, mask, this.width);
    this.#lengths.push(ids.length);
    let labels = 0;
    for (let at = 0; at < mask.length; at++) labels += mask[at]!;
    this.#labels.push(labels);
    this.#checksums.push(crc32(bytes));
    await this.#write(bytes);
  }

  /** `evaluation`: the numbers of the held-out samples, ascending. Returns the header that was written. */
  async commit(
    evaluation: readonly number[],
    counts: RowCounts,
    parts: readonly number[] = [this.samples],
  ): Promise<TokenFileHeader> {
    await this.#write(u32(this.#lengths.values));
    await this.#write(u32(this.#checksums.values));
    await this.#write(u32(evaluation));
    await this.#flush();
    const header: TokenFileHeader = {
      contentKey: this.#hash.digest("hex"),
      width: this.width,
      samples: this.samples,
      parts,
      counts: this.#count(evaluation, counts),
    };
    const json = Buffer.from(JSON.stringify(header), "utf8");
    await storing(this.temporary, async () => {
      await writeAll(this.handle, json, this.#offset);
      await writeAll(this.handle, encodePreamble(this.#offset, json), 0);
      await this.handle.sync();
      await this.handle.close();
      await rename(this.temporary, this.path);
      await syncDirectory(dirname(this.path));
    });
    return header;
  }

  /** Removes what was written. Safe to call at any time, also after `commit`. */
  async abandon(): Promise<void> {
    await this.handle.close().catch(() => undefined);
    await rm(this.temporary, { force: true });
  }

  #count(evaluation: readonly number[], counts: RowCounts): TokenCounts {
    const sum = (values: Uint32Array) => values.reduce((total, value) => total + value, 0);
    const pick = (values: Uint32Array) => evaluation.reduce((total, sample) => total + values[sample]!, 0);
    const [lengths, labels] = [this.#lengths.values, this.#labels.values];
    const evaluationTokens = pick(lengths);
    return {
      trainSize: this.samples - evaluation.length,
      evaluationSize: evaluation.length,
      trainTokens: sum(lengths) - evaluationTokens,
      evaluationTokens,
      trainLabels: sum(labels) - pick(labels),
      rows: counts.rows,
      truncated: counts.truncated,
      cutTokens: counts.cutTokens,
      tooLong: counts.tooLong,
      unlabelled: counts.unlabelled,
      cut: counts.cut,
      longest: lengths.reduce((longest, length) => Math.max(longest, length), 0),
    };
  }

  async #write(bytes: Buffer): Promise<void> {
    this.#hash.update(bytes);
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes >= flushBytes) await this.#flush();
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    await storing(this.temporary, () => writeAll(this.handle, bytes, this.#offset));
    this.#offset += bytes.length;
  }
}

function u32(values: ArrayLike<number>): Buffer {
  const bytes = Buffer.allocUnsafe(values.length * 4);
  for (let at = 0; at < values.length; at++) bytes.writeUInt32LE(values[at]!, at * 4);
  return bytes;
}

/** A single write may store a part only. */
async function writeAll(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

/** Makes the rename itself durable. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function storing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw fileError(thrown, "write", path);
  }
}
