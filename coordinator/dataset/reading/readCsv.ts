import { type CsvErrorCode, parse } from "csv-parse";
import { CoordError } from "../../../shared/errors.ts";
import { maxRowBytes, type OnRead, readDataBytes } from "./dataFile.ts";
import { badRow, type DataRow } from "./dataRow.ts";
import { decodeUtf8 } from "./decodeUtf8.ts";

/** Columns that hold a list in every format, so that text in them is JSON. */
const listColumns = new Set(["conversations", "data", "history", "messages"]);

interface CsvRecord {
  readonly record: readonly Buffer[];
  readonly info: { readonly lines: number };
}

/** The rows of a CSV or TSV file, whose first row names the columns. Throws DATA_INVALID where quotes do not match. */
export async function* readCsv(
  path: string,
  delimiter: "," | "\t",
  signal: AbortSignal,
  onRead?: OnRead,
): AsyncGenerator<DataRow> {
  const parser = parse({
    delimiter,
    encoding: null,
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: maxRowBytes,
    ...(delimiter === "\t" && { quote: null }),
  });
  const feeding = feed(path, signal, parser, onRead);
  let header: readonly string[] | undefined;
  try {
    for await (const { record, info } of parser as AsyncIterable<CsvRecord>) {
      const line = info.lines - newlines(record);
      try {
        const cells = record.map((cell) => decodeUtf8(cell, path, line));
        if (header === undefined) header = checkHeader(cells, path);
        else yield { line, row: readCells(header, cells, path, line) };
      } catch (thrown) {
        // Without its header nothing of the file can be read.
        if (header === undefined) throw thrown;
        yield badRow(line, thrown);
      }
    }
    await feeding;
  } catch (thrown) {
    signal.throwIfAborted();
    throw thrown instanceof CoordError ? thrown : csvProblem(path, thrown);
  } finally {
    parser.destroy();
    await feeding.catch(() => undefined);
  }
}

async function feed(
  path: string,
  signal: AbortSignal,
  parser: ReturnType<typeof parse>,
  onRead: OnRead | undefined,
): Promise<void> {
  try {
    for await (const chunk of readDataBytes(path, signal, onRead)) {
      if (parser.destroyed) return;
      if (!parser.write(chunk)) await new Promise<void>((done) => resumeOn(parser, done));
    }
    parser.end();
  } catch (thrown) {
    parser.destroy(thrown as Error);
  }
}

function resumeOn(parser: ReturnType<typeof parse>, done: () => void): void {
  const resume = () => {
    parser.off("drain", resume).off("close", resume).off("error", resume);
    done();
  };
  parser.on("drain", resume).on("close", resume).on("error", resume);
}

function newlines(record: readonly Buffer[]): number {
  let found = 0;
  for (const cell of record) for (const byte of cell) if (byte === 0x0a) found++;
  return found;
}

function checkHeader(names: readonly string[], path: string): readonly string[] {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice === undefined) return names.map((name) => name.trim());
  throw new CoordError("DATA_INVALID", `${path}, line 1: the column ${JSON.stringify(twice)} is there twice.`);
}

function readCells(header: readonly string[], cells: readonly string[], path: string, line: number) {
  if (cells.length !== header.length) {
    throw new CoordError(
      "DATA_INVALID",
      `${path}, line ${line}: the row has ${cells.length} cells, the first line names ${header.length} columns; is a quote missing?`,
    );
  }
  return Object.fromEntries(header.map((name, index) => [name, readCell(name, cells[index]!)]));
}

function readCell(name: string, cell: string): unknown {
  if (!listColumns.has(name) || !cell.trimStart().startsWith("[")) return cell;
  try {
    return JSON.parse(cell);
  } catch {
    return cell; // The format says what it expected instead.
  }
}

const explanations: Partial<Record<CsvErrorCode, string>> = {
  CSV_QUOTE_NOT_CLOSED: "a quote is opened and never closed; is the file cut short?",
  CSV_INVALID_CLOSING_QUOTE: "a closing quote is followed by other text; double quotes inside a cell are written twice",
  INVALID_OPENING_QUOTE: "a quote stands in the middle of a cell; a cell with quotes is quoted as a whole",
  CSV_MAX_RECORD_SIZE: `a row is longer than ${maxRowBytes / 1024 ** 2} MiB; is a quote missing?`,
};

function csvProblem(path: string, thrown: unknown): CoordError {
  const { code, lines, message } = thrown as { code?: CsvErrorCode; lines?: number; message: string };
  const where = lines === undefined ? path : `${path}, line ${lines}`;
  return new CoordError("DATA_INVALID", `${where}: ${(code && explanations[code]) ?? message}.`, { cause: thrown });
}
