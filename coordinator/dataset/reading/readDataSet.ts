import { isRow, kindOf, type Row } from "../../../shared/dataset/formats/rowFormat.ts";
import { assertNever, CoordError } from "../../../shared/errors.ts";
import type { OnRead } from "./dataFile.ts";
import type { DataKind } from "./dataKind.ts";
import { badRow, type DataRow } from "./dataRow.ts";
import { decodeUtf8 } from "./decodeUtf8.ts";
import { readArray } from "./readArray.ts";
import { readCsv } from "./readCsv.ts";
import { type RawRow, readLines, rowTooLong } from "./readLines.ts";
import { readParagraphs } from "./readParagraphs.ts";
import { readParquet } from "./readParquet.ts";

/** A file with what is known of it. */
export interface ReadableFile {
  readonly path: string;
  readonly kind: DataKind;
  /** True for JSON whose first character is `[`: one array rather than one object per line. */
  readonly array: boolean;
}

/**
 * The rows of a data set file, one at a time. A byte-order mark is skipped, gzip is undone. A row that cannot be read is
 * given as such; `onRead` counts bytes, but for Parquet. Throws DATA_INVALID naming the file and the line where there is no telling where the next row begins.
 */
export function readDataSet(file: ReadableFile, signal: AbortSignal, onRead?: OnRead): AsyncGenerator<DataRow> {
  const { path, kind, array } = file;
  switch (kind) {
    case "text":
      return readParagraphs(path, signal, onRead);
    case "csv":
      return readCsv(path, ",", signal, onRead);
    case "tsv":
      return readCsv(path, "\t", signal, onRead);
    case "parquet":
      return readParquet(path, signal);
    case "json":
      return readJson(array ? readArray(path, signal, onRead) : readLines(path, signal, onRead), path);
    default:
      return assertNever(kind);
  }
}

/** "FILE, line N" or, where there are no lines, "FILE, row N". */
export function placeOf({ path, kind }: ReadableFile, line: number): string {
  return `${path}, ${kind === "parquet" ? "row" : "line"} ${line}`;
}

async function* readJson(raws: AsyncIterable<RawRow>, path: string): AsyncGenerator<DataRow> {
  for await (const raw of raws) {
    let row: Row | undefined;
    try {
      row = parseRow(raw, path);
    } catch (thrown) {
      yield badRow(raw.line, thrown);
    }
    if (row !== undefined) yield { line: raw.line, row };
  }
}

/** Undefined for a blank line. */
function parseRow({ bytes, line }: RawRow, path: string): Row | undefined {
  if (bytes === undefined) throw rowTooLong(path, line);
  const text = decodeUtf8(bytes, path, line);
  if (text.trim() === "") return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    const message = (thrown as SyntaxError).message;
    const before = text.slice(0, Number(/position (\d+)/.exec(message)?.[1] ?? 0));
    const at = line + (before.match(/\n/g)?.length ?? 0);
    throw new CoordError(
      "DATA_INVALID",
      `${path}, line ${at}: bad JSON (${message}); expected one object per line, or one array of objects.`,
      { cause: thrown },
    );
  }
  if (isRow(value)) return value;
  throw new CoordError("DATA_INVALID", `${path}, line ${line}: the row is ${kindOf(value)}, not an object.`);
}
