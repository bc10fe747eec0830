import { isUtf8 } from "node:buffer";
import { CoordError } from "../../../shared/errors.ts";

/** The text of `bytes`, which begin on `line` of `path`. Throws DATA_INVALID naming the line of the first wrong byte. */
export function decodeUtf8(bytes: Buffer, path: string, line: number): string {
  if (isUtf8(bytes)) return bytes.toString("utf8");
  const good = validPrefix(bytes);
  let at = line;
  for (const byte of bytes.subarray(0, good)) if (byte === 0x0a) at++;
  const value = `0x${bytes[good]!.toString(16).padStart(2, "0")}`;
  throw new CoordError(
    "DATA_INVALID",
    `${path}, line ${at}: byte ${value} is not UTF-8; save the file as UTF-8 (iconv -t utf-8).`,
  );
}

/** Length of the longest prefix that is whole UTF-8 characters, by bisection. */
function validPrefix(bytes: Buffer): number {
  let good = 0;
  let bad = bytes.length;
  while (bad - good > 1) {
    const middle = (good + bad) >>> 1;
    // A character may be cut at the middle: it is good if some end within the next three bytes is.
    const fits = [0, 1, 2, 3].some((more) => isUtf8(bytes.subarray(0, Math.min(middle + more, bytes.length))));
    if (fits) good = middle;
    else bad = middle;
  }
  return good;
}
