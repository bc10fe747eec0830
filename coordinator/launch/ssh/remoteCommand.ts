import { join } from "node:path";
import type { RunConfig } from "../../../shared/config/schema.ts";
import { packageRoot } from "../../../shared/process/packageRoot.ts";

/** The words that start coord on another host: those of --remote-command, or this installation's own paths. */
export function remoteCommand({ remoteCommand: given }: Pick<RunConfig, "remoteCommand">): string[] {
  if (given !== undefined) return given.trim().split(/\s+/);
  return [process.execPath, join(packageRoot(), "dist", "coordinator", "cli", "main.js")];
}
