import { createHash } from "node:crypto";

/**
 * The token file, all integers little-endian:
 *
 *     offset 0    8 bytes   magic "COORDTOK"
 *            8    u32       version
 *           12    u32       length of the JSON header in bytes
 *           16    u64       offset of the JSON header (a safe integer)
 *           24    8 bytes   zero
 *           32    32 bytes  SHA-256 of the JSON header
 *           64    data      the samples one after the other: token ids (u16, or u32 when the header says width 4), then one
 *                           bit per token, lowest bit first, set where the token is a label; the last byte padded with zeros
 *                 index     u32 tokens of each sample · u32 CRC-32 of each sample's bytes · u32 number of each held-out
 *                           sample, ascending; all others are training samples
 *                 header    JSON, UTF-8: TokenFileHeader
 *
 * The file says nothing about where the samples came from: the same samples give the same bytes.
 */
export const preambleBytes = 64;
export const tokenFileVersion = 1;
const magic = Buffer.from("COORDTOK", "latin1");

/** What a token file says about itself. */
export interface TokenFileHeader {
  /** SHA-256 of data and index in hexadecimal: the identity of the samples. */
  readonly contentKey: string;
  /** Bytes per token id: 2 or 4. */
  readonly width: 2 | 4;
  readonly samples: number;
  /** Samples of each training file, in their order, those held out included. */
  readonly parts: readonly number[];
  readonly counts: TokenCounts;
}

/** Counts for people. */
export interface TokenCounts {
  readonly trainSize: number;
  readonly evaluationSize: number;
  /** Tokens of the training samples, masked ones included. */
  readonly trainTokens: number;
  readonly evaluationTokens: number;
  /** Label tokens of the training samples. */
  readonly trainLabels: number;
  /** Rows read, those dropped included. */
  readonly rows: number;
  /** Samples cut to the maximum length. */
  readonly truncated: number;
  /** Tokens cut away from those. */
  readonly cutTokens: number;
  /** Rows dropped because they have more tokens than the maximum length. */
  readonly tooLong: number;
  /** Rows without anything to learn. */
  readonly unlabelled: number;
  /** Rows whose labels were all beyond the maximum length. */
  readonly cut: number;
  /** Tokens of the longest sample. */
  readonly longest: number;
}

export function encodePreamble(headerOffset: number, header: Buffer): Buffer {
  const preamble = Buffer.alloc(preambleBytes);
  magic.copy(preamble, 0);
  preamble.writeUInt32LE(tokenFileVersion, 8);
  preamble.writeUInt32LE(header.length, 12);
  preamble.writeBigUInt64LE(BigInt(headerOffset), 16);
  createHash("sha256").update(header).digest().copy(preamble, 32);
  return preamble;
}

/** Reads a preamble; a string is what is wrong with it. */
export function decodePreamble(
  preamble: Buffer,
): { headerOffset: number; headerLength: number; headerHash: Buffer } | string {
  if (preamble.length < preambleBytes) return "it is shorter than its preamble";
  if (!preamble.subarray(0, 8).equals(magic)) return "it does not begin with COORDTOK";
  const version = preamble.readUInt32LE(8);
  if (version !== tokenFileVersion) return `it has version ${version}, not ${tokenFileVersion}`;
  return {
    headerLength: preamble.readUInt32LE(12),
    headerOffset: Number(preamble.readBigUInt64LE(16)),
    headerHash: preamble.subarray(32, 64),
  };
}

/** Sizes in bytes, to tell a file's before it is made: about, for the header's text varies. */
export const tokenFileBytes = {
  sample: (tokens: number, width: 2 | 4): number => sampleBytes(tokens, width),
  around: (samples: number): number => preambleBytes + 2 * 4 * samples + 400,
};

/** Bytes of one sample in the file. */
export function sampleBytes(tokens: number, width: 2 | 4): number {
  return tokens * width + Math.ceil(tokens / 8);
}

export function encodeSampleBytes(ids: Uint32Array, mask: Uint8Array, width: 2 | 4): Buffer {
  const bytes = Buffer.alloc(sampleBytes(ids.length, width));
  let next = 0;
  for (let at = 0; at < ids.length; at++) {
    const id = ids[at]!;
    bytes[next++] = id & 0xff;
    bytes[next++] = (id >> 8) & 0xff;
    if (width === 4) {
      bytes[next++] = (id >> 16) & 0xff;
      bytes[next++] = id >>> 24;
    }
  }
  const bits = ids.length * width;
  for (let at = 0; at < mask.length; at++) if (mask[at] === 1) bytes[bits + (at >> 3)]! |= 1 << (at & 7);
  return bytes;
}

export function decodeSampleBytes(
  bytes: Buffer,
  tokens: number,
  width: 2 | 4,
): { inputIds: Uint32Array; labelMask: Uint8Array } {
  const inputIds = new Uint32Array(tokens);
  const labelMask = new Uint8Array(tokens);
  const bits = tokens * width;
  for (let at = 0; at < tokens; at++) {
    inputIds[at] = width === 2 ? bytes.readUInt16LE(at * 2) : bytes.readUInt32LE(at * 4);
    labelMask[at] = (bytes[bits + (at >> 3)]! >> (at & 7)) & 1;
  }
  return { inputIds, labelMask };
}
