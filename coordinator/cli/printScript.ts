import type { ConfigKey, RunConfig } from "../../shared/config/schema.ts";
import { CoordError } from "../../shared/errors.ts";
import { coordHome } from "../../shared/runPaths.ts";
import { pinConfig } from "../launch/pinConfig.ts";
import { scriptFor } from "../launch/slurm/submitJob.ts";
import { RunDirectory } from "../runs/runDirectory.ts";
import type { CommandContext } from "./command.ts";

/** Prints the batch script that a launch would submit, with RUN for the id that it would get. */
export function printScript(
  config: RunConfig,
  sources: Readonly<Partial<Record<ConfigKey, string>>>,
  { environment, stdout }: CommandContext,
): number {
  if (config.launcher !== "slurm") throw new CoordError("CONFIG_INVALID", "--print is for --launcher slurm.");
  stdout.write(scriptFor(new RunDirectory(coordHome(environment), "RUN"), pinConfig(config, sources)));
  return 0;
}
