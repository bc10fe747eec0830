import { randomUUID } from "node:crypto";
import { CoordError } from "../shared/errors.ts";
import { createLogger } from "../shared/log.ts";
import { endpointFrom, reconnectBudgetMs, required, requiredInteger } from "./environment.ts";
import { processMain } from "./processMain.ts";
import { runWorker } from "./worker.ts";

const logger = createLogger("worker", { rank: process.env["RANK"] ?? "?" });

processMain(logger, async (record, signal) => {
  const nodeRank = requiredInteger("NODE_RANK");
  const localRank = requiredInteger("LOCAL_RANK");
  const port = requiredInteger("MASTER_PORT");
  if (port < 1 || port > 65535) throw new CoordError("CONFIG_INVALID", `MASTER_PORT ${port} is not a port.`);
  const runId = required("COORD_RUN_ID");
  const gpu = process.env["CUDA_VISIBLE_DEVICES"];
  await record({
    role: "worker",
    runId,
    nodeRank,
    localRank,
    rank: requiredInteger("RANK"),
    ...(gpu === undefined ? {} : { gpu }),
  });
  await runWorker({
    endpoint: endpointFrom(`${required("MASTER_ADDR")}:${port}`),
    caller: { runId, workerId: `${nodeRank}/${localRank}`, incarnation: randomUUID() },
    nodeRank,
    localRank,
    attempt: requiredInteger("COORD_ATTEMPT"),
    reconnectBudgetMs: reconnectBudgetMs(),
    logger,
    signal,
  });
});
