import { CoordError } from "../../errors.ts";
import type { Conversation } from "../conversation.ts";
import { alpaca } from "./alpaca.ts";
import { huatuo } from "./huatuo.ts";
import { openai } from "./openai.ts";
import { promptCompletion } from "./promptCompletion.ts";
import { type Row, type RowFormat, RowProblem } from "./rowFormat.ts";
import { sharegpt } from "./sharegpt.ts";
import { swe } from "./swe.ts";
import { text } from "./text.ts";

/** Every known format, in the order in which a row is compared with them. */
export const rowFormats: readonly RowFormat[] = [huatuo, sharegpt, openai, alpaca, promptCompletion, swe, text];

/** A row's conversation and the name of the format that it was in. */
export interface ReadRow {
  readonly format: string;
  readonly conversation: Conversation;
}

/**
 * Turns one row into a conversation. `format` is a format's name, or "auto" for the first one whose keys the row has;
 * `where` is "FILE, line N". Throws DATA_INVALID naming the place, the keys found and the formats known.
 */
export function readRow(row: Row, format: string, where: string): ReadRow {
  const wanted = rowFormats.filter((candidate) => format === "auto" || candidate.name === format);
  const match = wanted.find((candidate) => candidate.matches(row));
  if (match === undefined) {
    const expected = wanted.map(({ name, shape }) => `${name} ${shape}`).join(" · ");
    throw new CoordError(
      "DATA_INVALID",
      `${where}: the row has the keys ${keysOf(row)}, which fit ${format === "auto" ? "none of the known formats" : `not the format ${format}`}: ${expected}.`,
    );
  }
  try {
    return { format: match.name, conversation: match.read(row) };
  } catch (thrown) {
    if (!(thrown instanceof RowProblem)) throw thrown;
    throw new CoordError(
      "DATA_INVALID",
      `${where}: the row ${thrown.message}; the format ${match.name} looks like ${match.shape}.`,
      { cause: thrown },
    );
  }
}

function keysOf(row: Row): string {
  const keys = Object.keys(row);
  const shown = keys.slice(0, 12).map((key) => JSON.stringify(key.slice(0, 60)));
  if (keys.length > shown.length) shown.push(`and ${keys.length - shown.length} more`);
  return shown.length === 0 ? "(none)" : shown.join(", ");
}
