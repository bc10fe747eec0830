import { join } from "node:path";
import { parseArgs } from "node:util";
import { CoordError, toCoordError } from "../shared/errors.ts";
import { createLogger } from "../shared/log.ts";
import { keepLogsSmall } from "../shared/process/rotateLog.ts";
import { coordHome } from "../shared/runPaths.ts";
import { runCoordinatorProcess } from "./coordinatorProcess.ts";
import { RunDirectory } from "./runs/runDirectory.ts";

// The coordinator's process, started by `coord launch` and `coord resume` in a session of its own. SIGHUP and SIGINT of
// a terminal do not reach it; SIGTERM asks for a checkpoint and the end.
const logger = createLogger("coordinator");
const controller = new AbortController();
process.on("SIGTERM", () => controller.abort(new CoordError("TERMINATED", "Ended by SIGTERM.")));
process.on("SIGHUP", () => {});

const { values } = parseArgs({ options: { from: { type: "string" } } });
const runId = process.env["COORD_RUN_ID"] ?? "";

const directory = new RunDirectory(coordHome(), runId);
keepLogsSmall(() => [join(directory.paths.logs, "coordinator.log")]);

runCoordinatorProcess({
  directory,
  from: values.from,
  logger,
  terminated: controller.signal,
}).then(
  (exitCode) => process.exit(exitCode),
  (thrown: unknown) => {
    const error = toCoordError(thrown);
    logger.error({ code: error.code, err: error.code === "INTERNAL" ? thrown : undefined }, error.message);
    process.exit(error.exitCode);
  },
);
