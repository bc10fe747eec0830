import type { Conversation, Message } from "../conversation.ts";

/** One row of a data set: an object of the JSON file. Read keys with `field`, because a key may be `__proto__`. */
export type Row = Readonly<Record<string, unknown>>;

/** One way to write a dialogue down. A new format is one file with one of these, and an entry in readRow.ts. */
export interface RowFormat {
  readonly name: string;
  /** What a row looks like, for messages: "`data`: [\"问：…\", \"答：…\"]". */
  readonly shape: string;
  /** True when the row's keys are those of this format, whatever their values. */
  matches(row: Row): boolean;
  /** Throws RowProblem where the values are not what the format promises. */
  read(row: Row): Conversation;
}

/** Why a row cannot be read; the caller adds file and line. The message continues "the row …". */
export class RowProblem extends Error {
  override readonly name = "RowProblem";
}

/** The row's own value of `key`, undefined where it has none. */
export function field(row: Row, key: string): unknown {
  return Object.hasOwn(row, key) ? row[key] : undefined;
}

/** True for a JSON object: not null, not an array. */
export function isRow(value: unknown): value is Row {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The row's text under `key`; `where` names it in the message. */
export function textField(row: Row, key: string, where: string): string {
  const value = field(row, key);
  if (typeof value !== "string") throw new RowProblem(`has ${kindOf(value)} instead of text in ${where}`);
  return value;
}

/** The row's text under `key`; empty where it has none. */
export function optionalText(row: Row, key: string): string {
  return (field(row, key) ?? "") === "" ? "" : textField(row, key, key);
}

/** The message of the row's optional `system` text. */
export function systemMessage(row: Row): Message[] {
  const system = optionalText(row, "system");
  return system === "" ? [] : [{ role: "system", content: system }];
}

/** "a number", "an array", "nothing": what a value is, for messages. */
export function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
