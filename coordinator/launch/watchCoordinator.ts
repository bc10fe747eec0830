import { fileURLToPath } from "node:url";
import { isAlive, type ProcessIdentity } from "../../shared/process/identity.ts";
import { readProcessRecords } from "../../shared/process/record.ts";
import { spawnLogged } from "../../shared/process/spawnLogged.ts";
import { terminate } from "../../shared/process/terminate.ts";

/** The program that starts a crashed coordinator again: a process boundary, not an import. */
const entry = fileURLToPath(new URL("../../worker/watchMain.js", import.meta.url));

/** A process beside the coordinator that outlives it. */
export interface Watch {
  end(): Promise<void>;
}

/** Starts the watch over this coordinator, unless that of an earlier one is still there. */
export async function startWatch(options: {
  readonly home: string;
  readonly runId: string;
  /** Directory of the run's process records. */
  readonly processes: string;
  readonly log: string;
}): Promise<Watch> {
  const { home, log, processes, runId } = options;
  const { records } = await readProcessRecords(processes, runId);
  const left = records.find(({ record }) => isWatch(record) && isAlive(record.identity))?.record.identity;
  if (left) return { end: () => end(left, runId) };
  const env = { COORD_RUN_ID: runId, COORD_HOME: home };
  const child = await spawnLogged({ program: entry, args: [], env, stdout: log, stderr: log, detached: true });
  return {
    async end() {
      child.kill("SIGTERM");
      await child.ended;
    },
  };
}

/** An agent of no node. */
function isWatch({ nodeRank, role }: { nodeRank?: number | undefined; role: string }): boolean {
  return role === "agent" && nodeRank === undefined;
}

async function end(identity: ProcessIdentity, runId: string): Promise<void> {
  await terminate(identity, { graceMs: 2000, expectRunId: runId });
}
