import { CoordError } from "../../../shared/errors.ts";
import { maxRowBytes, type OnRead, readDataBytes } from "./dataFile.ts";

/** A piece of a data file and the line, from 1, that it begins on; no bytes where it is longer than a row may be. */
export interface RawRow {
  readonly line: number;
  readonly bytes: Buffer | undefined;
}

const newline = 0x0a;

/** The lines of a file without their newline, one at a time; memory is bounded by the longest line. */
export async function* readLines(path: string, signal: AbortSignal, onRead?: OnRead): AsyncGenerator<RawRow> {
  let line = 1;
  let carried: Buffer[] = [];
  let carriedBytes = 0;
  const carry = (rest: Buffer) => {
    carriedBytes += rest.length;
    if (carriedBytes > maxRowBytes) carried = [];
    else if (rest.length > 0) carried.push(rest);
  };
  const finish = (): RawRow => {
    const bytes = carriedBytes > maxRowBytes ? undefined : carried.length === 1 ? carried[0]! : Buffer.concat(carried);
    carried = [];
    carriedBytes = 0;
    return { line: line++, bytes };
  };
  for await (const chunk of readDataBytes(path, signal, onRead)) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      carry(chunk.subarray(start, end));
      yield finish();
      start = end + 1;
    }
    carry(chunk.subarray(start));
  }
  if (carriedBytes > 0) yield finish();
}

export function rowTooLong(path: string, line: number): CoordError {
  return new CoordError(
    "DATA_INVALID",
    `${path}, line ${line}: the row is longer than ${maxRowBytes / 1024 ** 2} MiB; is this a data set of one row per line, or one JSON array?`,
  );
}
