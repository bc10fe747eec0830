import { bitsPerElement } from "./dtype.ts";
import { parseStrictJson } from "./strictJson.ts";

/** One tensor of a safetensors file. */
export interface SafetensorsEntry {
  /** The format's name of the element type, for example "BF16". */
  readonly dtype: string;
  /** Sizes, outermost first; empty for a scalar. */
  readonly shape: readonly number[];
  /** Absolute byte range in the file, end exclusive. */
  readonly start: number;
  readonly end: number;
}

/** The parsed header. */
export interface SafetensorsHeader {
  /** In the order of the file's data. */
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: ReadonlyMap<string, string>;
}

/** Says what is wrong with a file, as a clause: "tensor \"a\" has …". */
export class SafetensorsProblem extends Error {}

/** As the reference implementation has it. */
export const maxHeaderBytes = 100_000_000;

/** Length of the header in bytes from the first 8 bytes of a file. Throws SafetensorsProblem. */
export function headerLength(prefix: Uint8Array, fileBytes: number): number {
  if (fileBytes < 8 || prefix.byteLength < 8) {
    throw new SafetensorsProblem(`expected at least 8 bytes, file has ${fileBytes}: it is truncated`);
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes)) {
    throw new SafetensorsProblem(
      `its first 8 bytes announce a header of ${length} bytes, more than the ${maxHeaderBytes} allowed: it is not a safetensors file`,
    );
  }
  if (length > BigInt(fileBytes - 8)) {
    throw new SafetensorsProblem(`expected at least ${length + 8n} bytes, file has ${fileBytes}: it is truncated`);
  }
  return Number(length);
}

/**
 * Parses and checks a header: known element types, byte ranges that fit the shapes and that cover the data exactly,
 * without gap or overlap. Throws SafetensorsProblem.
 */
export function parseHeader(header: Uint8Array, fileBytes: number): SafetensorsHeader {
  const dataStart = 8 + header.byteLength;
  const found: [string, SafetensorsEntry][] = [];
  let metadata: ReadonlyMap<string, string> = new Map();
  for (const [name, value] of Object.entries(parseObject(header))) {
    if (name === "__metadata__") metadata = parseMetadata(value);
    else found.push([name, parseEntry(name, value, dataStart)]);
  }
  // Stable: tensors without elements that share an offset keep the header's order.
  found.sort(([, a], [, b]) => a.start - b.start || a.end - b.end);
  checkCoverage(found, dataStart, fileBytes);
  return { entries: new Map(found), metadata };
}

function parseObject(header: Uint8Array): object {
  let value: unknown;
  try {
    value = parseStrictJson(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(header));
  } catch (thrown) {
    throw new SafetensorsProblem(`its header is not valid JSON: ${(thrown as Error).message}`);
  }
  if (!isRecord(value)) throw new SafetensorsProblem("its header is not a JSON object");
  return value;
}

function parseMetadata(value: unknown): ReadonlyMap<string, string> {
  if (!isRecord(value)) throw new SafetensorsProblem("__metadata__ is not an object");
  const entries = Object.entries(value);
  for (const [key, text] of entries) {
    if (typeof text !== "string") throw new SafetensorsProblem(`__metadata__ key ${quote(key)} is not a string`);
  }
  return new Map(entries as [string, string][]);
}

function parseEntry(name: string, value: unknown, dataStart: number): SafetensorsEntry {
  const problem = (what: string) => new SafetensorsProblem(`tensor ${quote(name)} ${what}`);
  if (!isRecord(value)) throw problem("is not an object");
  const unknown = Object.keys(value).find((key) => !["dtype", "shape", "data_offsets"].includes(key));
  if (unknown !== undefined) throw problem(`has the unknown key ${quote(unknown)}`);
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>;
  if (typeof dtype !== "string") throw problem("has no dtype");
  const bits = bitsPerElement(dtype);
  if (bits === undefined) throw problem(`has the unknown dtype ${quote(dtype)}`);
  if (!isSizes(shape)) throw problem("has a shape that is not a list of sizes");
  if (!isSizes(offsets) || offsets.length !== 2) throw problem("has no valid data_offsets");
  const [start, end] = offsets as [number, number];
  if (end < start) throw problem(`ends at ${end}, before its start at ${start}`);
  const bytes = byteLength(shape, bits);
  if (bytes === undefined) throw problem(`has the impossible shape [${shape.slice(0, 16)}]`);
  if (bytes !== end - start) {
    throw problem(`of shape [${shape.slice(0, 16)}] and dtype ${dtype} needs ${bytes} bytes but has ${end - start}`);
  }
  return { dtype, shape, start: dataStart + start, end: dataStart + end };
}

function checkCoverage(found: readonly [string, SafetensorsEntry][], dataStart: number, fileBytes: number): void {
  let covered = dataStart;
  for (const [name, entry] of found) {
    if (entry.start !== covered) {
      const what = entry.start < covered ? "overlaps the one before it" : "leaves a gap behind the one before it";
      throw new SafetensorsProblem(`tensor ${quote(name)} ${what}, at byte ${entry.start}`);
    }
    covered = entry.end;
  }
  if (covered > fileBytes) {
    throw new SafetensorsProblem(`expected ${covered} bytes, file has ${fileBytes}: it is truncated`);
  }
  if (covered < fileBytes) {
    throw new SafetensorsProblem(
      `expected ${covered} bytes, file has ${fileBytes}: bytes that belong to no tensor follow`,
    );
  }
}

/** Undefined when the product overflows (even where a later size is 0, as the reference has it) or is no whole byte. */
function byteLength(shape: readonly number[], bits: number): number | undefined {
  let total = 1;
  for (const size of shape) {
    total *= size;
    if (!Number.isSafeInteger(total)) return undefined;
  }
  total = (total * bits) / 8;
  return Number.isSafeInteger(total) ? total : undefined;
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function isRecord(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
