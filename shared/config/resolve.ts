import { CoordError } from "../errors.ts";
import { nearestName } from "./nearestName.ts";
import { parseValue } from "./parseValue.ts";
import { contradictions, problemSentence } from "./problems.ts";
import { type ConfigKey, type RunConfig, runConfigSchema } from "./schema.ts";
import { kebabCase, type Setting, settingNamed, settings, snakeCase } from "./settings.ts";

/** Where the value of a setting came from. */
export type ConfigSource = "flag" | "environment" | "file" | "default";

/** What the user said, by place. */
export interface ConfigInput {
  /** Values of flags by name in any spelling; undefined counts as not given. */
  readonly flags?: Readonly<Record<string, unknown>>;
  /** The environment; only `COORD_*` is looked at, and an empty variable counts as not given. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** A parsed coord.yaml with its name for messages; null values count as not given. */
  readonly file?: { readonly name: string; readonly values: Readonly<Record<string, unknown>> };
}

export interface ResolvedConfig {
  readonly config: RunConfig;
  readonly sources: Readonly<Record<ConfigKey, ConfigSource>>;
}

interface Given {
  readonly source: ConfigSource;
  /** The name that the user wrote, for messages. */
  readonly place: string;
  readonly value: unknown;
}

/** Variables that say where things are or how to report, not how to train. The last ones belong to the tests. */
export const reservedVariables: readonly string[] = [
  "COORD_HOME",
  "COORD_RUN_ID",
  "COORD_TOKEN_FILE",
  "COORD_VIEWER_TOKEN_FILE",
  "COORD_SHM_DIR",
  "COORD_DEBUG",
  "COORD_LOG_LEVEL",
  "COORD_ATTEMPT",
  "COORD_FAILPOINT",
  "COORD_FAILPOINT_MARKER",
  "COORD_CHAOS",
  "COORD_CHAOS_SEED",
  "COORD_CALL_FAULTS",
  "COORD_CALL_FAULTS_LOG",
  "COORD_SHARED_DATA",
  "COORD_PYTHON",
  "COORD_RECORDING",
  "COORD_CHROMIUM",
  "COORD_KUBERNETES_BIN",
];

/**
 * Works out the configuration: flag > `COORD_*` environment > coord.yaml > default.
 * Throws CONFIG_INVALID with a sentence for each unknown name and each value that is not allowed.
 */
export function resolveConfig(input: ConfigInput): ResolvedConfig {
  const problems: string[] = [];
  const given = new Map<ConfigKey, Given>([
    ...fromFile(input.file, problems),
    ...fromEnvironment(input.environment ?? {}, problems),
    ...fromFlags(input.flags ?? {}, problems),
  ]);
  spreadNodeRange(given);
  const values = Object.fromEntries([...given].map(([key, { value }]) => [key, value]));
  const parsed = runConfigSchema.safeParse(values);
  if (!parsed.success) problems.push(...schemaProblems(parsed.error.issues, given));
  else problems.push(...contradictions(parsed.data));
  if (problems.length > 0 || !parsed.success) throw new CoordError("CONFIG_INVALID", listProblems(problems));
  const sources = Object.fromEntries(settings.map(({ key }) => [key, given.get(key)?.source ?? "default"]));
  return { config: parsed.data, sources: sources as Record<ConfigKey, ConfigSource> };
}

/** torchrun's `--nnodes MIN:MAX`: as many nodes as may take part are started. */
function spreadNodeRange(given: Map<ConfigKey, Given>): void {
  const nodes = given.get("nodes");
  const range = /^(\d{1,4}):(\d{1,4})$/.exec(String(nodes?.value));
  if (!nodes || !range) return;
  given.set("nodes", { ...nodes, value: Number(range[2]) });
  for (const [key, value] of [
    ["minNodes", range[1]],
    ["maxNodes", range[2]],
  ] as const) {
    if (!given.has(key)) given.set(key, { ...nodes, value: Number(value) });
  }
}

/** Checks the flags alone and returns the settings they name, without defaults: what `coord resume` changes. */
export function resolveOverrides(flags: Readonly<Record<string, unknown>>): Partial<RunConfig> {
  const { config, sources } = resolveConfig({ flags });
  return Object.fromEntries(Object.entries(config).filter(([key]) => sources[key as ConfigKey] === "flag"));
}

function fromFlags(flags: Readonly<Record<string, unknown>>, problems: string[]): [ConfigKey, Given][] {
  const found: [ConfigKey, Given][] = [];
  for (const [name, raw] of Object.entries(flags)) {
    if (raw === undefined) continue;
    const setting = settingNamed(name);
    if (setting === undefined) problems.push(unknownName(`--${kebabCase(name)}`, "flag", flagNames));
    else found.push([setting.key, give(setting, "flag", `--${setting.flag}`, raw)]);
  }
  return found;
}

function fromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  problems: string[],
): [ConfigKey, Given][] {
  const found: [ConfigKey, Given][] = [];
  for (const [name, raw] of Object.entries(environment)) {
    if (!name.startsWith("COORD_") || raw === undefined || raw === "" || reservedVariables.includes(name)) continue;
    const setting = variables.get(name);
    if (setting !== undefined) {
      found.push([setting.key, give(setting, "environment", `${name} (--${setting.flag})`, raw)]);
    } else if (!isServiceLink(name, raw)) {
      problems.push(unknownName(name, "environment variable", [...variables.keys()]));
    }
  }
  return found;
}

function fromFile(file: ConfigInput["file"], problems: string[]): [ConfigKey, Given][] {
  if (file === undefined) return [];
  const found = new Map<ConfigKey, Given>();
  for (const [name, raw] of Object.entries(file.values)) {
    const setting = settingNamed(name);
    if (setting === undefined) problems.push(unknownName(name, "key", yamlNames, ` in ${file.name}`));
    else if (found.has(setting.key)) problems.push(`${file.name} gives ${snakeCase(setting.flag)} twice.`);
    else if (raw !== null) {
      found.set(setting.key, give(setting, "file", `${name} in ${file.name} (--${setting.flag})`, raw));
    }
  }
  return [...found];
}

function give(setting: Setting, source: ConfigSource, place: string, raw: unknown): Given {
  return { source, place, value: parseValue(setting, raw) };
}

const variables = new Map(settings.map((setting) => [setting.environment, setting]));
const flagNames = settings.flatMap(({ flag, aliases }) => [flag, ...aliases].map((name) => `--${name}`));
const yamlNames = settings.map(({ flag }) => snakeCase(flag));

function unknownName(name: string, what: string, known: readonly string[], where = ""): string {
  const nearest = nearestName(name, known);
  return `Unknown ${what} ${name}${where}${nearest === undefined ? "." : `; did you mean ${nearest}?`}`;
}

/** Kubernetes gives every pod variables for the Services of its namespace; one named coord-* makes them look like ours. */
function isServiceLink(name: string, value: string): boolean {
  return (
    /_SERVICE_(HOST|PORT)(_|$)/.test(name) ||
    /_PORT_\d+_(TCP|UDP|SCTP)(_|$)/.test(name) ||
    /^(tcp|udp|sctp):\/\//.test(value)
  );
}

function schemaProblems(
  issues: Parameters<typeof problemSentence>[0][],
  given: ReadonlyMap<ConfigKey, Given>,
): string[] {
  // The second complaint about the same value (a list with two empty names, say) would only repeat the first.
  const firstByKey = new Map(issues.toReversed().map((issue) => [String(issue.path[0]), issue]));
  return settings.flatMap((setting) => {
    const issue = firstByKey.get(setting.key);
    const { place, value } = given.get(setting.key) ?? { place: `--${setting.flag}`, value: undefined };
    return issue === undefined ? [] : [problemSentence(issue, setting, place, value)];
  });
}

function listProblems(problems: readonly string[]): string {
  if (problems.length === 1) return problems[0]!;
  return `${problems.length} settings are wrong:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`;
}
