import { helpText } from "./flags.ts";
import type { ConfigKey } from "./schema.ts";
import { type Setting, settings, snakeCase } from "./settings.ts";

/** A coord.yaml with every setting and what it means; those in `given` have a value, the others are commented out. */
export function configTemplate(given: Readonly<Partial<Record<ConfigKey, unknown>>> = {}): string {
  const groups = [...new Set(settings.map(({ group }) => group))];
  const sections = groups.map((group) => {
    const entries = settings.filter((setting) => setting.group === group).map((setting) => entry(setting, given));
    return [`# ---- ${group}`, ...entries].join("\n\n");
  });
  return `${[introduction, ...sections].join("\n\n")}\n`;
}

const introduction = [
  "# Settings of coord. A flag (--lora-r 16) or an environment variable (COORD_LORA_R=16) wins over this file.",
  "# Take away the # in front of a setting to change it; the value shown is its default.",
].join("\n");

function entry(setting: Setting, given: Readonly<Partial<Record<ConfigKey, unknown>>>): string {
  const key = snakeCase(setting.flag);
  const value = given[setting.key];
  const line =
    value === undefined ? `# ${key}: ${defaultValue(setting)}`.trimEnd() : `${key}: ${JSON.stringify(value)}`;
  return [...wrap(helpText(setting)), line].join("\n");
}

/** JSON is YAML's flow style, so no quoting rules of its own are needed. */
function defaultValue(setting: Setting): string {
  return setting.default === undefined ? "" : JSON.stringify(setting.default);
}

const columns = 110;

function wrap(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < columns) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`# ${word}`);
  }
  return lines;
}
