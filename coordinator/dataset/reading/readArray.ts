import { CoordError } from "../../../shared/errors.ts";
import { maxRowBytes, type OnRead, readDataBytes } from "./dataFile.ts";
import type { RawRow } from "./readLines.ts";

const code = (character: string): number => character.charCodeAt(0);
const quote = code('"');
const backslash = code("\\");
const newline = code("\n");
const opening = new Set([code("["), code("{")]);
const closing = new Set([code("]"), code("}")]);
const blank = new Set([code(" "), newline, code("\r"), code("\t")]);

/**
 * The elements of a file that holds one JSON array, one at a time: the file may be larger than a string can be. Only
 * brackets, strings and commas are looked at here; each element is left to JSON.parse.
 */
export async function* readArray(path: string, signal: AbortSignal, onRead?: OnRead): AsyncGenerator<RawRow> {
  let line = 1;
  // Open brackets, the array's own included: 0 before it begins; -1 after its end.
  let depth = 0;
  let inString = false;
  let escaped = false;
  let parts: Buffer[] = [];
  let elementBytes = 0;
  let elementLine = 0; // 0 while no byte of an element has been seen.
  let elements = 0;

  const fail = (problem: string) => new CoordError("DATA_INVALID", `${path}, line ${line}: ${problem}.`);
  const finish = (): RawRow => {
    const tooLong = elementBytes > maxRowBytes;
    const row = {
      line: elementLine,
      bytes: tooLong ? undefined : parts.length === 1 ? parts[0]! : Buffer.concat(parts),
    };
    parts = [];
    elementBytes = 0;
    elementLine = 0;
    elements++;
    return row;
  };

  for await (const chunk of readDataBytes(path, signal, onRead)) {
    let start = 0; // Where the current element begins in this chunk.
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at]!;
      if (byte === newline) line++;
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === backslash) escaped = true;
        else if (byte === quote) inString = false;
        continue;
      }
      if (blank.has(byte)) continue;
      if (depth === -1) throw fail("there is more after the end of the JSON array");
      if (depth === 0) {
        depth = 1; // The caller has seen that the first character is "[".
        continue;
      }
      const ends = depth === 1 && (byte === code(",") || byte === code("]"));
      if (ends) {
        if (elementLine === 0 && (byte === code(",") || elements > 0)) throw fail("a comma has no row beside it");
        if (elementLine !== 0) {
          parts.push(chunk.subarray(start, at));
          yield finish();
        }
        if (byte === code("]")) depth = -1;
        continue;
      }
      if (depth === 1 && closing.has(byte)) throw fail("a bracket is closed that was not opened");
      if (elementLine === 0) {
        elementLine = line;
        start = at;
      }
      if (byte === quote) inString = true;
      else if (opening.has(byte)) depth++;
      else if (closing.has(byte)) depth--;
    }
    if (elementLine !== 0) {
      parts.push(chunk.subarray(start));
      elementBytes += chunk.length - start;
      if (elementBytes > maxRowBytes) parts = [];
    }
  }
  if (depth !== -1) throw fail("the file ends inside the JSON array; is it cut short?");
}
