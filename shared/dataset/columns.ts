import { nearestName } from "../config/nearestName.ts";
import type { Row } from "./formats/rowFormat.ts";

/** Keys that the formats look for, and that a data set's own columns can be named as. */
const formatKeys: readonly string[] = [
  "completion",
  "conversations",
  "data",
  "history",
  "input",
  "instruction",
  "messages",
  "output",
  "patch",
  "problem_statement",
  "prompt",
  "system",
  "text",
];

/** Renames a row's columns to the keys of a format. */
export type MapColumns = (row: Row) => Row;

/** Compiles `["instruction=question", …]`: the column `question` is read as `instruction`. Others keep their names. */
export function mapColumns(columns: readonly string[]): MapColumns {
  if (columns.length === 0) return (row) => row;
  const keyOf = new Map(columns.map(splitColumn).map(([key, column]) => [column, key]));
  const taken = new Set(keyOf.values());
  return (row) => {
    const renamed = Object.keys(row).filter((name) => keyOf.has(name));
    if (renamed.length === 0) return row;
    const kept = Object.keys(row).filter((name) => !keyOf.has(name) && !taken.has(name));
    return Object.fromEntries([
      ...kept.map((name) => [name, row[name]] as const),
      ...renamed.map((name) => [keyOf.get(name)!, row[name]] as const),
    ]);
  };
}

/** What is wrong with a value of --columns, one sentence each. */
export function columnProblems(columns: readonly string[]): string[] {
  const problems: string[] = [];
  const seen = new Set<string>();
  for (const entry of columns) {
    const [key, column] = splitColumn(entry);
    if (key === "" || column === "") {
      problems.push(`--columns wants KEY=COLUMN, such as instruction=question, got ${JSON.stringify(entry)}.`);
    } else if (!formatKeys.includes(key)) {
      const near = nearestName(key, formatKeys);
      problems.push(
        `--columns ${entry}: no format has a key ${JSON.stringify(key)}${near === undefined ? "" : ` (did you mean ${near}?)`}; known: ${formatKeys.join(", ")}.`,
      );
    } else if (seen.has(key)) problems.push(`--columns names ${key} twice.`);
    seen.add(key);
  }
  return problems;
}

function splitColumn(entry: string): [key: string, column: string] {
  const at = entry.indexOf("=");
  return at < 0 ? ["", ""] : [entry.slice(0, at).trim(), entry.slice(at + 1).trim()];
}
