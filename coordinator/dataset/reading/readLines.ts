import type { Row } from "../../../shared/dataset/formats/rowFormat.ts";
import { CoordError } from "../../../shared/errors.ts";
import { maxRowBytes, readDataBytes } from "./dataFile.ts";

/** A piece of a data file and the line, from 1, that it begins on. */
export interface RawRow {
  readonly line: number;
  readonly bytes: Buffer;
}

/** One row of a data set and the line, from 1, that it begins on. */
export interface DataRow {
  readonly line: number;
  readonly row: Row;
}

const newline = 0x0a;

/** The lines of a file without their newline, one at a time; memory is bounded by the longest line. */
export async function* readLines(path: string, signal: AbortSignal): AsyncGenerator<RawRow> {
  let line = 1;
  let carried: Buffer[] = [];
  let carriedBytes = 0;
  for await (const chunk of readDataBytes(path, signal)) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      const rest = chunk.subarray(start, end);
      yield { line, bytes: carried.length === 0 ? rest : Buffer.concat([...carried, rest]) };
      carried = [];
      carriedBytes = 0;
      start = end + 1;
      line++;
    }
    if (start < chunk.length) carried.push(chunk.subarray(start));
    carriedBytes += chunk.length - start;
    if (carriedBytes > maxRowBytes) throw rowTooLong(path, line);
  }
  if (carriedBytes > 0) yield { line, bytes: Buffer.concat(carried) };
}

export function rowTooLong(path: string, line: number): CoordError {
  return new CoordError(
    "DATA_INVALID",
    `${path}, line ${line}: the row is longer than ${maxRowBytes / 1024 ** 2} MiB; is this a data set of one row per line, or one JSON array?`,
  );
}
