import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { CoordError } from "../errors.ts";
import {
  decodePreamble,
  decodeSampleBytes,
  preambleBytes,
  sampleBytes,
  type TokenFileHeader,
} from "./tokenFileFormat.ts";

export type TokenSplit = "train" | "evaluation";

export interface TokenSample {
  readonly inputIds: Uint32Array;
  /** One byte per token: 1 where it is a label, 0 where it is masked. */
  readonly labelMask: Uint8Array;
}

/** An open token file. Samples are read from disk when asked for; each is checked against its checksum. */
export interface TokenFile {
  /** Where it is. */
  readonly path: string;
  /** SHA-256 of the samples and their split: equal where training reads the same. */
  readonly contentKey: string;
  readonly trainSize: number;
  readonly evaluationSize: number;
  readonly trainTokens: number;
  /** Tokens of each training sample. */
  readonly trainLengths: Uint32Array;
  /** Training samples of each training file, in their order. */
  readonly trainParts: readonly number[];
  readonly header: TokenFileHeader;
  /** Throws TokenFileDamaged where the bytes are not those that were written, RangeError past the end of the split. */
  sample(split: TokenSplit, index: number): Promise<TokenSample>;
  /** Reads the whole file and throws TokenFileDamaged where it is not what was written. */
  verify(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** The file is not a token file, or not the one that was written: make it again. */
export class TokenFileDamaged extends CoordError {
  constructor(
    path: string,
    /** What is wrong, to follow "because". */
    readonly reason: string,
  ) {
    super(
      "STORAGE_FAILED",
      `The token file ${path} is damaged: ${reason}; it is made again at the next start or resume.`,
    );
  }
}

/** Opens a token file and reads its index. Throws TokenFileDamaged, or the system's error where it cannot be opened. */
export async function openTokenFile(path: string): Promise<TokenFile> {
  const handle = await open(path, "r");
  try {
    return await readIndex(path, handle);
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

async function readIndex(path: string, handle: FileHandle): Promise<TokenFile> {
  const damaged = (reason: string) => new TokenFileDamaged(path, reason);
  const { size } = await handle.stat();
  const preamble = decodePreamble(await readRange(handle, 0, preambleBytes));
  if (typeof preamble === "string") throw damaged(preamble);
  const { headerOffset, headerLength, headerHash } = preamble;
  if (headerOffset < preambleBytes || headerOffset + headerLength !== size) {
    throw damaged(`it has ${size} bytes instead of ${headerOffset + headerLength}`);
  }
  const json = await readRange(handle, headerOffset, headerLength);
  if (!createHash("sha256").update(json).digest().equals(headerHash))
    throw damaged("the checksum of its header is wrong");
  const header = JSON.parse(json.toString("utf8")) as TokenFileHeader;
  const { samples, width, counts } = header;

  const indexBytes = (2 * samples + counts.evaluationSize) * 4;
  const indexOffset = headerOffset - indexBytes;
  if (indexOffset < preambleBytes) throw damaged("its index does not fit");
  const index = readU32(await readRange(handle, indexOffset, indexBytes));
  const lengths = index.subarray(0, samples);
  const checksums = index.subarray(samples, 2 * samples);
  const evaluation = index.subarray(2 * samples);
  const train = complement(evaluation, samples);
  const offsets = new Float64Array(samples + 1);
  offsets[0] = preambleBytes;
  for (let at = 0; at < samples; at++) offsets[at + 1] = offsets[at]! + sampleBytes(lengths[at]!, width);
  if (offsets[samples] !== indexOffset || train.length !== counts.trainSize) throw damaged("its index is wrong");

  return {
    path,
    contentKey: header.contentKey,
    trainSize: counts.trainSize,
    evaluationSize: counts.evaluationSize,
    trainTokens: counts.trainTokens,
    trainLengths: train.map((sample) => lengths[sample]!),
    trainParts: countParts(train, header.parts),
    header,
    sample: async (split, position) => {
      const numbers = split === "train" ? train : evaluation;
      const sample = numbers[position];
      if (sample === undefined) {
        throw new RangeError(`Sample ${position} is not below the size ${numbers.length} of the ${split} split.`);
      }
      const bytes = await readRange(handle, offsets[sample]!, offsets[sample + 1]! - offsets[sample]!);
      if (crc32(bytes) !== checksums[sample]) throw damaged(`the checksum of sample ${sample} is wrong`);
      return decodeSampleBytes(bytes, lengths[sample]!, width);
    },
    verify: async (signal) => {
      const hash = createHash("sha256");
      for (let at = preambleBytes; at < headerOffset; at += verifyBytes) {
        signal.throwIfAborted();
        hash.update(await readRange(handle, at, Math.min(verifyBytes, headerOffset - at)));
      }
      if (hash.digest("hex") !== header.contentKey) throw damaged("the checksum of its samples is wrong");
    },
    close: () => handle.close(),
  };
}

const verifyBytes = 4 * 1024 * 1024;

/** The bytes asked for; fewer only where the file ends. */
async function readRange(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

function readU32(bytes: Buffer): Uint32Array {
  const numbers = new Uint32Array(bytes.length / 4);
  for (let at = 0; at < numbers.length; at++) numbers[at] = bytes.readUInt32LE(at * 4);
  return numbers;
}

/** How many of the ascending `numbers` are in each of consecutive ranges of the given sizes. */
function countParts(numbers: Uint32Array, sizes: readonly number[]): number[] {
  let end = 0;
  let at = 0;
  return sizes.map((size) => {
    const before = at;
    end += size;
    while (at < numbers.length && numbers[at]! < end) at++;
    return at - before;
  });
}

/** The numbers below `samples` that are not in `chosen`, ascending. */
function complement(chosen: Uint32Array, samples: number): Uint32Array {
  const taken = new Uint8Array(samples);
  for (const sample of chosen) taken[sample] = 1;
  const others = new Uint32Array(taken.reduce((left, one) => left - one, samples));
  let at = 0;
  for (let sample = 0; sample < samples; sample++) if (taken[sample] === 0) others[at++] = sample;
  return others;
}
