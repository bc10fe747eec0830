import { isRow, kindOf, type Row } from "../../../shared/dataset/formats/rowFormat.ts";
import { CoordError } from "../../../shared/errors.ts";
import { firstCharacter, readDataBytes } from "./dataFile.ts";
import { decodeUtf8 } from "./decodeUtf8.ts";
import { readArray } from "./readArray.ts";
import { type DataRow, type RawRow, readLines } from "./readLines.ts";
import { readParagraphs } from "./readParagraphs.ts";

/**
 * The rows of a data set file, one at a time. A `.txt` file is read as paragraphs; any other as one JSON array where
 * its first character is `[`, and as JSON Lines otherwise, whatever its name. A byte-order mark is skipped. Throws
 * DATA_INVALID naming the file and the line.
 */
export async function* readDataSet(path: string, signal: AbortSignal): AsyncGenerator<DataRow> {
  if (isPlainText(path)) {
    yield* readParagraphs(path, signal);
    return;
  }
  const raws = (await holdsArray(path, signal)) ? readArray(path, signal) : readLines(path, signal);
  for await (const raw of raws) {
    const text = decodeUtf8(raw.bytes, path, raw.line);
    if (text.trim() === "") continue;
    yield { line: raw.line, row: parseRow(text, path, raw) };
  }
}

export function isPlainText(path: string): boolean {
  return /\.(txt|text)$/i.test(path);
}

async function holdsArray(path: string, signal: AbortSignal): Promise<boolean> {
  for await (const chunk of readDataBytes(path, signal)) {
    const first = firstCharacter(chunk);
    if (first !== undefined) return first === "[";
  }
  return false;
}

function parseRow(text: string, path: string, raw: RawRow): Row {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    const message = (thrown as SyntaxError).message;
    const before = text.slice(0, Number(/position (\d+)/.exec(message)?.[1] ?? 0));
    const line = raw.line + (before.match(/\n/g)?.length ?? 0);
    throw new CoordError(
      "DATA_INVALID",
      `${path}, line ${line}: bad JSON (${message}); expected one object per line, or one array of objects.`,
      { cause: thrown },
    );
  }
  if (!isRow(value)) {
    throw new CoordError("DATA_INVALID", `${path}, line ${raw.line}: the row is ${kindOf(value)}, not an object.`);
  }
  return value;
}
