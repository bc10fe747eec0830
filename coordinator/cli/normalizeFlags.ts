import type { Options } from "yargs";
import { nearestName } from "../../shared/config/nearestName.ts";
import { CoordError } from "../../shared/errors.ts";

/** The words that a boolean flag may be given: `--insecure=no`. */
const words: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  "1": true,
  false: false,
  no: false,
  "0": false,
};

/**
 * Writes every flag in the one spelling that the options are declared in (kebab-case; `--learning_rate` and
 * `--learningRate` are accepted). Throws CONFIG_INVALID for a flag that no option has, naming the nearest one.
 */
export function normalizeFlags(argv: readonly string[], options: Readonly<Record<string, Options>>): string[] {
  const known = new Map<string, Options>();
  for (const [name, option] of Object.entries(options)) {
    for (const spelling of [name, ...[option.alias ?? []].flat()]) known.set(spelling, option);
  }
  const end = argv.includes("--") ? argv.indexOf("--") : argv.length;
  const written = argv.slice(0, end).map((token) => normalizeToken(token, known));
  return [...written, ...argv.slice(end)];
}

function normalizeToken(token: string, known: ReadonlyMap<string, Options>): string {
  const match = /^(--?)([A-Za-z][^=]*)(?:=([\s\S]*))?$/.exec(token);
  if (match === null) return token;
  const [, dashes, given, value] = match as unknown as [string, string, string, string | undefined];
  const name = dashes === "-" ? given : kebab(given);
  const positive = name.startsWith("no-") && !known.has(name) ? name.slice(3) : name;
  const option = known.get(positive);
  const isLong = name.length > 1;
  if (option === undefined || isLong !== (dashes === "--") || (positive !== name && option.type !== "boolean")) {
    throw new CoordError("CONFIG_INVALID", unknownFlag(`${dashes}${given}`, known));
  }
  if (value === undefined) return `${dashes}${name}`;
  return option.type === "boolean" ? booleanToken(name, value) : `${dashes}${name}=${value}`;
}

/** yargs takes any word but "true" for false; here only words that mean it do. */
function booleanToken(name: string, value: string): string {
  const meaning = words[value.toLowerCase()];
  if (meaning === undefined) {
    throw new CoordError("CONFIG_INVALID", `--${name} must be true or false, got ${JSON.stringify(value)}.`);
  }
  return meaning ? `--${name}` : `--no-${name}`;
}

function kebab(name: string): string {
  return name.replaceAll("_", "-").replaceAll(/(?<=[a-z0-9])[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function unknownFlag(flag: string, known: ReadonlyMap<string, Options>): string {
  const names = [...known.keys()].map((name) => (name.length === 1 ? `-${name}` : `--${name}`));
  const nearest = nearestName(kebab(flag), names);
  return `Unknown flag ${flag}${nearest === undefined ? "; --help lists those there are." : `; did you mean ${nearest}?`}`;
}
