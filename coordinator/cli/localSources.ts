import type { ResolvedConfig } from "../../shared/config/resolve.ts";
import { localConfig } from "../launch/localConfig.ts";
import type { CommandContext } from "./command.ts";
import { whileInterruptible } from "./whileInterruptible.ts";

/** The same settings with everything that they name on the hub on this disk. */
export async function localSources(resolved: ResolvedConfig, context: CommandContext): Promise<ResolvedConfig> {
  const config = await whileInterruptible(context, (signal) =>
    localConfig(resolved.config, signal, (line) => process.stderr.write(`${line}\n`)),
  );
  return { ...resolved, config };
}
