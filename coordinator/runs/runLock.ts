import { join } from "node:path";
import { CoordError } from "../../shared/errors.ts";
import { acquireLock, type HeldLock } from "../../shared/process/exclusiveLock.ts";
import type { RunDirectory } from "./runDirectory.ts";

export function runLockPath({ paths }: RunDirectory): string {
  return join(paths.root, "lock");
}

/**
 * Makes this process the run's one coordinator until `release`, or its end. To be taken before anything else of the run
 * is read or changed. Throws RUN_IN_USE.
 */
export async function acquireRunLock(directory: RunDirectory): Promise<HeldLock> {
  const taken = await acquireLock(runLockPath(directory), directory.runId);
  if ("release" in taken) return taken;
  const { host, process } = taken.holder;
  throw new CoordError(
    "RUN_IN_USE",
    `Run ${directory.runId} is already going on in process ${process.pid} on ${host}; ` +
      `watch it with \`coord attach ${directory.runId}\` or end it with \`coord stop ${directory.runId}\`.`,
  );
}
