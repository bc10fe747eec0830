import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { parseDocument } from "yaml";
import type { ConfigInput } from "../../shared/config/resolve.ts";
import { CoordError } from "../../shared/errors.ts";

type ConfigFile = NonNullable<ConfigInput["file"]>;

/** Read without being asked for, when it is there. */
const usualName = "coord.yaml";

/** Reads the named configuration file, or coord.yaml when none is named and there is one. */
export async function readConfigFile(name: string | undefined, directory: string): Promise<ConfigFile | undefined> {
  const file = name ?? usualName;
  let text: string;
  try {
    text = await readFile(resolve(directory, file), "utf8");
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    if (name === undefined && code === "ENOENT") return undefined;
    const what = code === "ENOENT" ? "does not exist" : `cannot be read (${message})`;
    throw new CoordError("CONFIG_INVALID", `Configuration file ${file} ${what}.`, { cause: thrown });
  }
  return { name: file, values: parseMapping(file, text) };
}

function parseMapping(file: string, text: string): Record<string, unknown> {
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error !== undefined) {
    const line = error.linePos?.[0].line;
    const first = error.message.split("\n")[0]!.replace(/ at line \d+, column \d+:?$/, "");
    throw new CoordError("CONFIG_INVALID", `${file}${line === undefined ? "" : `, line ${line}`}: ${first}.`);
  }
  const value: unknown = document.toJS();
  if (value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) {
    throw new CoordError("CONFIG_INVALID", `${file} must hold settings as "key: value" lines.`);
  }
  return value as Record<string, unknown>;
}
