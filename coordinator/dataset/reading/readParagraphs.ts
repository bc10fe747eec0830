import { CoordError } from "../../../shared/errors.ts";
import { maxRowBytes, type OnRead } from "./dataFile.ts";
import { badRow, type DataRow } from "./dataRow.ts";
import { decodeUtf8 } from "./decodeUtf8.ts";
import { type RawRow, readLines, rowTooLong } from "./readLines.ts";

/**
 * The samples of a plain text file: one per paragraph, and paragraphs end at a blank line (white space only). Newlines
 * inside a paragraph are kept, as `\n`. One line that cannot be read spoils its paragraph.
 */
export async function* readParagraphs(path: string, signal: AbortSignal, onRead?: OnRead): AsyncGenerator<DataRow> {
  let lines: string[] = [];
  let first = 0;
  let bytes = 0;
  let problem: DataRow | undefined;
  for await (const raw of readLines(path, signal, onRead)) {
    let text = "";
    try {
      text = readLine(raw, path);
    } catch (thrown) {
      problem ??= badRow(raw.line, thrown);
      continue;
    }
    if (text.trim() === "") {
      if (problem !== undefined) yield problem;
      else if (lines.length > 0) yield { line: first, row: { text: lines.join("\n") } };
      lines = [];
      bytes = 0;
      problem = undefined;
      continue;
    }
    if (lines.length === 0) first = raw.line;
    bytes += text.length;
    if (bytes > maxRowBytes) {
      problem ??= { line: first, problem: rowTooLong(path, first) };
      lines = [];
    } else lines.push(text);
  }
  if (problem !== undefined) yield problem;
  else if (lines.length > 0) yield { line: first, row: { text: lines.join("\n") } };
}

function readLine({ bytes, line }: RawRow, path: string): string {
  if (bytes === undefined) throw rowTooLong(path, line);
  const text = decodeUtf8(bytes, path, line).replace(/\r$/, "");
  if (!text.includes("\0")) return text;
  throw new CoordError("DATA_INVALID", `${path}, line ${line}: a zero byte; this is not a text file.`);
}
