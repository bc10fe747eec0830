import { CoordError } from "../../../shared/errors.ts";
import { maxRowBytes } from "./dataFile.ts";
import { decodeUtf8 } from "./decodeUtf8.ts";
import { type DataRow, readLines, rowTooLong } from "./readLines.ts";

/**
 * The samples of a plain text file: one per paragraph, and paragraphs end at a blank line (white space only). Newlines
 * inside a paragraph are kept, as `\n`.
 */
export async function* readParagraphs(path: string, signal: AbortSignal): AsyncGenerator<DataRow> {
  let lines: string[] = [];
  let first = 0;
  let bytes = 0;
  for await (const raw of readLines(path, signal)) {
    const text = decodeUtf8(raw.bytes, path, raw.line).replace(/\r$/, "");
    if (text.includes("\0")) {
      throw new CoordError("DATA_INVALID", `${path}, line ${raw.line}: a zero byte; this is not a text file.`);
    }
    if (text.trim() === "") {
      if (lines.length > 0) yield { line: first, row: { text: lines.join("\n") } };
      lines = [];
      bytes = 0;
      continue;
    }
    if (lines.length === 0) first = raw.line;
    lines.push(text);
    bytes += raw.bytes.length;
    if (bytes > maxRowBytes) throw rowTooLong(path, first);
  }
  if (lines.length > 0) yield { line: first, row: { text: lines.join("\n") } };
}
