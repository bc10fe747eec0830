import { resolve } from "node:path";
import { type ResolvedConfig, resolveConfig } from "../../shared/config/resolve.ts";
import type { ConfigKey, RunConfig } from "../../shared/config/schema.ts";
import { settings } from "../../shared/config/settings.ts";
import { type CommandContext, type CommandValues, textValue } from "./command.ts";
import { readConfigFile } from "./readConfigFile.ts";

/** Settings that name a file or directory. */
const pathKeys = [
  "model",
  "initAdapter",
  "data",
  "evalData",
  "output",
  "tlsCert",
  "tlsKey",
  "tlsCa",
] as const satisfies readonly ConfigKey[];

/** Resolves flags, environment and coord.yaml; paths become absolute, for the coordinator lives on without this directory. */
export async function loadConfig(values: CommandValues, context: CommandContext): Promise<ResolvedConfig> {
  const file = await readConfigFile(textValue(values, "config"), context.workingDirectory);
  const resolved = resolveConfig({
    flags: settingValues(values),
    environment: context.environment,
    ...(file === undefined ? {} : { file }),
  });
  return { ...resolved, config: { ...resolved.config, ...absolutePaths(resolved.config, context.workingDirectory) } };
}

/** The values that belong to settings; the command's own options and yargs' keys are left out. */
export function settingValues(values: CommandValues): Record<string, unknown> {
  return Object.fromEntries(
    settings.flatMap(({ flag }) => (values[flag] === undefined ? [] : [[flag, values[flag]] as const])),
  );
}

/** The settings of a configuration that are paths, made absolute. */
export function absolutePaths(config: Partial<RunConfig>, directory: string): Partial<RunConfig> {
  return Object.fromEntries(
    pathKeys.flatMap((key) => {
      const path = config[key];
      return path === undefined ? [] : [[key, resolve(directory, path)] as const];
    }),
  );
}
