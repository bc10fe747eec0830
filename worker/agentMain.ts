import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { CoordError } from "../shared/errors.ts";
import { createLogger } from "../shared/log.ts";
import { coordHome, runPaths } from "../shared/runPaths.ts";
import { runAgent } from "./agent.ts";
import { CoordinatorSupervisor } from "./coordinatorSupervisor.ts";
import { endpointFrom, reconnectBudgetMs, required } from "./environment.ts";
import { processMain } from "./processMain.ts";
import { lastingTokenFile } from "./tokenFile.ts";

const logger = createLogger("agent");

processMain(logger, async (record, signal) => {
  const { join, nodeRank, supervise } = readArguments();
  const runId = required("COORD_RUN_ID");
  const paths = runPaths(coordHome(), runId);
  await record({ role: "agent", runId, nodeRank });
  process.env["COORD_TOKEN_FILE"] = await lastingTokenFile(required("COORD_TOKEN_FILE"), paths.token);
  await runAgent({
    endpoint: endpointFrom(join),
    runId,
    nodeRank,
    incarnation: randomUUID(),
    logs: paths.logs,
    reconnectBudgetMs: reconnectBudgetMs(),
    ...(supervise ? { supervisor: new CoordinatorSupervisor(coordHome(), runId, logger) } : {}),
    logger,
    signal,
  });
});

function readArguments(): { join: string; nodeRank: number; supervise: boolean } {
  const { values } = parseArgs({
    options: {
      join: { type: "string" },
      "node-rank": { type: "string" },
      // Start the coordinator of this host again should it crash.
      supervise: { type: "boolean", default: false },
      // Taken by every command; an agent writes stack traces into its log anyway.
      debug: { type: "boolean" },
    },
    // `coord agent …` hands its whole command line over.
    args: process.argv.slice(process.argv[2] === "agent" ? 3 : 2),
  });
  const { join, "node-rank": nodeRank, supervise } = values;
  if (!join || !/^\S+:\d{1,5}$/.test(join)) {
    throw new CoordError("CONFIG_INVALID", `--join must be HOST:PORT of the coordinator, not ${JSON.stringify(join)}.`);
  }
  if (!nodeRank || !/^\d{1,4}$/.test(nodeRank)) {
    throw new CoordError(
      "CONFIG_INVALID",
      `--node-rank must be a whole number from 0, not ${JSON.stringify(nodeRank)}.`,
    );
  }
  return { join, nodeRank: Number(nodeRank), supervise };
}
