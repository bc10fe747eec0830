import { constants } from "node:fs";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import type { TokenSample, TokenSplit } from "../../shared/dataset/tokenFile.ts";
import { decodeSampleBytes, encodeSampleBytes, sampleBytes } from "../../shared/dataset/tokenFileFormat.ts";

/**
 * A record: magic "SMPL" · u32 split (0 training, 1 held out) · u32 number · u32 tokens · u32 CRC-32 of the payload · u32
 * CRC-32 of these 20 bytes; then the payload, as a sample stands in a token file of width 4. Little-endian.
 */
const magic = Buffer.from("SMPL", "latin1");
const headerBytes = 24;
const width = 4;
const chunkBytes = 4 * 1024 * 1024;

interface Place {
  readonly offset: number;
  readonly tokens: number;
  readonly checksum: number;
}

/**
 * Samples that a coordinator has sent, in a file of this host: whoever trains on the same samples later, or beside, need
 * not ask for them again. Several processes append to it at once, each record with one write; what a killed one left of a
 * record is passed over.
 */
export class SampleCache {
  static async open(path: string): Promise<SampleCache> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT;
    return new SampleCache(await open(path, flags, 0o600));
  }

  readonly #places = new Map<string, Place>();
  #scanned = 0;

  private constructor(private readonly file: FileHandle) {}

  /** A sample; undefined where it is not there, or no longer what was written. */
  async read(split: TokenSplit, number: number): Promise<TokenSample | undefined> {
    const place = this.#places.get(keyOf(split, number));
    if (!place) return undefined;
    const bytes = await this.#readRange(place.offset, sampleBytes(place.tokens, width));
    if (bytes.length === sampleBytes(place.tokens, width) && crc32(bytes) === place.checksum) {
      return decodeSampleBytes(bytes, place.tokens, width);
    }
    this.#places.delete(keyOf(split, number));
    return undefined;
  }

  async append(split: TokenSplit, samples: readonly (TokenSample & { readonly number: number })[]): Promise<void> {
    if (samples.length === 0) return;
    await this.file.write(Buffer.concat(samples.map((sample) => encodeRecord(split, sample))));
  }

  /** Takes in what has been appended, here or by others, since the last time. */
  async refresh(): Promise<void> {
    const { size } = await this.file.stat();
    while (this.#scanned < size) {
      const wanted = Math.min(chunkBytes, size - this.#scanned);
      const bytes = await this.#readRange(this.#scanned, wanted);
      const used = this.#takeRecords(bytes);
      this.#scanned += used;
      // The rest is the beginning of a record: it is whole in the next chunk, or not written yet.
      if (used === 0) {
        const needed = neededBytes(bytes);
        if (needed === undefined || this.#scanned + needed > size) return;
        this.#scanned += this.#takeRecords(await this.#readRange(this.#scanned, needed));
      }
    }
  }

  close(): Promise<void> {
    return this.file.close();
  }

  /** Bytes of the whole records at the beginning, and of what is none. */
  #takeRecords(bytes: Buffer): number {
    let at = 0;
    while (at + headerBytes <= bytes.length) {
      const header = decodeHeader(bytes, at);
      const end = at + headerBytes + (header ? sampleBytes(header.tokens, width) : 0);
      if (header && end > bytes.length) return at;
      if (header === undefined || crc32(bytes.subarray(at + headerBytes, end)) !== header.checksum) {
        const next = bytes.indexOf(magic, at + 1);
        at = next >= 0 ? next : bytes.length - magic.length + 1;
        continue;
      }
      const { checksum, number, split, tokens } = header;
      this.#places.set(keyOf(split, number), { offset: this.#scanned + at + headerBytes, tokens, checksum });
      at = end;
    }
    return at;
  }

  async #readRange(position: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await this.file.read(bytes, done, length - done, position + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes.subarray(0, done);
  }
}

function keyOf(split: TokenSplit, number: number): string {
  return `${split} ${number}`;
}

function encodeRecord(split: TokenSplit, { inputIds, labelMask, number }: TokenSample & { readonly number: number }) {
  const payload = encodeSampleBytes(inputIds, labelMask, width);
  const header = Buffer.alloc(headerBytes);
  magic.copy(header);
  header.writeUInt32LE(split === "train" ? 0 : 1, 4);
  header.writeUInt32LE(number, 8);
  header.writeUInt32LE(inputIds.length, 12);
  header.writeUInt32LE(crc32(payload), 16);
  header.writeUInt32LE(crc32(header.subarray(0, 20)), 20);
  return Buffer.concat([header, payload]);
}

function decodeHeader(bytes: Buffer, at: number) {
  if (bytes.compare(magic, 0, magic.length, at, at + magic.length) !== 0) return undefined;
  if (crc32(bytes.subarray(at, at + 20)) !== bytes.readUInt32LE(at + 20)) return undefined;
  const split: TokenSplit = bytes.readUInt32LE(at + 4) === 0 ? "train" : "evaluation";
  return {
    split,
    number: bytes.readUInt32LE(at + 8),
    tokens: bytes.readUInt32LE(at + 12),
    checksum: bytes.readUInt32LE(at + 16),
  };
}

/** Bytes of the record that `bytes` begin with; undefined where they are too few to tell. */
function neededBytes(bytes: Buffer): number | undefined {
  const header = bytes.length < headerBytes ? undefined : decodeHeader(bytes, 0);
  return header && headerBytes + sampleBytes(header.tokens, width);
}
