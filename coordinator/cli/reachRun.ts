import { CoordError } from "../../shared/errors.ts";
import type { Endpoint } from "../../shared/rpc/client.ts";
import type { SelectedRun } from "./selectRun.ts";

/** How to reach the run's coordinator, by the run's files. Throws COORDINATOR_UNREACHABLE for a run that does not go on. */
export async function reachRun({ runId, directory }: SelectedRun): Promise<Endpoint & { runId: string }> {
  const result = await directory.readResult();
  const coordinator = await directory.readCoordinator();
  if (result !== undefined || coordinator === undefined) {
    const why = result === undefined ? "its coordinator does not listen (yet)" : `it ${ended[result.state]}`;
    throw new CoordError("COORDINATOR_UNREACHABLE", `Run ${runId} cannot be reached: ${why}.`);
  }
  return { runId, address: coordinator.address, ...(await directory.readAdminCredentials()) };
}

const ended = { finished: "has finished", stopped: "was stopped", failed: "has failed" };
