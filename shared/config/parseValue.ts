import type { Setting } from "./settings.ts";

const words: Record<string, boolean> = {
  true: true,
  yes: true,
  on: true,
  "1": true,
  false: false,
  no: false,
  off: false,
  "0": false,
};

/**
 * Turns what a flag, an environment variable or a YAML value says into the type that the setting has. What does not
 * look like that type is handed on as it is, so that the schema's complaint can quote it.
 */
export function parseValue(setting: Setting, raw: unknown): unknown {
  if (setting.kind === "list") return wholeItems.has(setting.key) ? [raw].flat() : parseList(raw);
  // A flag that was given twice: the last one counts, as in torchrun.
  const value = Array.isArray(raw) && raw.length > 0 ? raw.at(-1) : raw;
  // YAML reads a choice such as `true` as a boolean.
  if (typeof value === "boolean" && setting.choices?.includes(String(value))) return String(value);
  if (typeof value !== "string") return value;
  const text = value.trim();
  switch (setting.kind) {
    case "integer":
    case "number":
      return text !== "" && Number.isFinite(Number(text)) ? Number(text) : value;
    case "boolean":
      return words[text.toLowerCase()] ?? value;
    case "text":
      return value;
  }
}

/** Lists of arguments that may hold commas themselves: each time that the flag is given is one item. */
const wholeItems: ReadonlySet<string> = new Set(["sshArg", "env", "sbatchArg"]);

function parseList(raw: unknown): unknown {
  const items = Array.isArray(raw) ? raw : [raw];
  return items.flatMap((item) => (typeof item === "string" ? splitList(item) : [item]));
}

function splitList(text: string): string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}
