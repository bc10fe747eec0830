import { systemClock } from "../../shared/clock.ts";
import { isAlive } from "../../shared/process/identity.ts";
import { readProcessRecords } from "../../shared/process/record.ts";
import type { RunDirectory } from "../runs/runDirectory.ts";
import { runLiveness } from "../runs/runLiveness.ts";

/** Time that an agent has to start a dead coordinator again, or a new coordinator to listen; in milliseconds. */
const allowanceMs = 30_000;
const pollMs = 250;

/**
 * Waits while a run's coordinator is about to come: a new one does not listen yet, or a dead one has an agent on this
 * host that will start it again. Returns whether it is there; `onWait` hears once that there is something to wait for.
 */
export async function awaitCoordinator(
  directory: RunDirectory,
  signal: AbortSignal,
  onWait: (why: string) => void,
): Promise<boolean> {
  const startMs = systemClock.monotonicMs();
  for (let told = false; ; told = true) {
    const liveness = await runLiveness(directory);
    if (liveness === "live") return true;
    const restarts = liveness === "dead" && (await hasAgent(directory));
    if (liveness === "ended" || (liveness === "dead" && !restarts)) return false;
    if (systemClock.monotonicMs() - startMs > allowanceMs) return false;
    if (!told) onWait(restarts ? "has died; waiting for its agent to start it again" : "does not listen yet; waiting");
    await systemClock.sleep(pollMs, signal);
  }
}

/** True where an agent of the run lives on this host: it starts a dead coordinator again. */
async function hasAgent({ paths, runId }: RunDirectory): Promise<boolean> {
  const { records } = await readProcessRecords(paths.processes, runId);
  return records.some(({ record }) => record.role === "agent" && isAlive(record.identity));
}
