import { CoordError, exitCodes, toCoordError } from "../shared/errors.ts";
import type { Logger } from "../shared/log.ts";
import { ownIdentity } from "../shared/process/identity.ts";
import { type ProcessRecord, removeProcessRecord, userName, writeProcessRecord } from "../shared/process/record.ts";
import { coordHome, runPaths } from "../shared/runPaths.ts";

/** What a process says of itself, beside what every record has. */
export type ProcessFacts = Pick<ProcessRecord, "role" | "runId" | "nodeRank" | "localRank" | "rank" | "gpu">;

/**
 * Runs a process's main function, which first says who it is, with a signal that SIGTERM and SIGINT abort; leaves a
 * process record while it runs; ends the process with the exit code of the catalogue. SIGHUP is let pass on purpose: a
 * closed terminal is not a wish to stop.
 */
export function processMain(
  logger: Logger,
  main: (record: (facts: ProcessFacts) => Promise<void>, signal: AbortSignal) => Promise<void>,
): void {
  const controller = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.on(name, () => controller.abort(new CoordError("TERMINATED", `Ended by ${name}.`)));
  }
  process.on("SIGHUP", () => {});
  let recordPath: string | undefined;
  const record = async (facts: ProcessFacts) => {
    const identity = ownIdentity();
    const directory = runPaths(coordHome(), facts.runId).processes;
    const common = { startedAtMs: Date.now(), user: userName(), identity };
    recordPath = await writeProcessRecord(directory, { ...facts, ...common });
  };
  const exit = async (code: number) => {
    if (recordPath !== undefined) await removeProcessRecord(recordPath).catch(() => {});
    process.exit(code);
  };
  main(record, controller.signal).then(
    () => exit(exitCodes.done),
    (thrown: unknown) => {
      const error = toCoordError(thrown);
      logger.error({ code: error.code, err: error.code === "INTERNAL" ? thrown : undefined }, error.message);
      return exit(error.exitCode);
    },
  );
}
