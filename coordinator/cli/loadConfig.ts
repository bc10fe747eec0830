import { type ResolvedConfig, resolveConfig } from "../../shared/config/resolve.ts";
import { settings } from "../../shared/config/settings.ts";
import { type CommandContext, type CommandValues, textValue } from "./command.ts";
import { placeOnHosts } from "./placeOnHosts.ts";
import { readConfigFile } from "./readConfigFile.ts";

/** Resolves flags, environment and coord.yaml. */
export async function loadConfig(values: CommandValues, context: CommandContext): Promise<ResolvedConfig> {
  const file = await readConfigFile(textValue(values, "config"), context.workingDirectory);
  const resolved = resolveConfig({
    flags: settingValues(values),
    environment: context.environment,
    ...(file === undefined ? {} : { file }),
  });
  return placeOnHosts(resolved, context.workingDirectory);
}

/** The values that belong to settings; the command's own options and yargs' keys are left out. */
export function settingValues(values: CommandValues): Record<string, unknown> {
  return Object.fromEntries(
    settings.flatMap(({ flag }) => (values[flag] === undefined ? [] : [[flag, values[flag]] as const])),
  );
}
