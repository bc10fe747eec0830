import { existsSync } from "node:fs";
import { systemClock } from "../shared/clock.ts";
import { createLogger } from "../shared/log.ts";
import { coordHome, runPaths } from "../shared/runPaths.ts";
import { CoordinatorSupervisor } from "./coordinatorSupervisor.ts";
import { required } from "./environment.ts";
import { processMain } from "./processMain.ts";

// Starts the coordinator of this host again should it crash, where no agent of the run is on this host to do it.

/** Milliseconds between two looks. */
const lookMs = 500;

const logger = createLogger("watch");

processMain(logger, async (record, signal) => {
  const runId = required("COORD_RUN_ID");
  const { result } = runPaths(coordHome(), runId);
  await record({ role: "agent", runId });
  const supervisor = new CoordinatorSupervisor(coordHome(), runId, logger);
  while (!existsSync(result)) {
    await supervisor.lookAfter();
    await systemClock.sleep(lookMs, signal);
  }
});
