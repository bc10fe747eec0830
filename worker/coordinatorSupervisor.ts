import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { Logger } from "../shared/log.ts";
import { readJsonFile } from "../shared/process/atomicFile.ts";
import { isAlive, processIdentitySchema } from "../shared/process/identity.ts";
import { spawnLogged } from "../shared/process/spawnLogged.ts";
import { runPaths } from "../shared/runPaths.ts";

/** The coordinator's program: a process boundary, not an import. */
const entry = fileURLToPath(new URL("../coordinator/main.js", import.meta.url));

/** Starts in a row after which a coordinator is given up that does not last for `steadyMs`. */
const maxStarts = 5;
const steadyMs = 5000;

/**
 * Starts the run's coordinator again when it has died without a result. Safe to try at any time: the run's lock lets
 * only one coordinator live, and one that finds its workers goes on where they are.
 */
export class CoordinatorSupervisor {
  #starts = 0;
  #starting = false;

  constructor(
    private readonly home: string,
    private readonly runId: string,
    private readonly logger: Logger,
  ) {}

  /** A coordinator was here for so many milliseconds. */
  wasHere(forMs: number): void {
    if (forMs >= steadyMs) this.#starts = 0;
  }

  /** The coordinator does not answer: start it if it is dead and its work is not done. */
  async lookAfter(): Promise<void> {
    const paths = runPaths(this.home, this.runId);
    if (this.#starting || this.#starts >= maxStarts || existsSync(paths.result)) return;
    const coordinator = await readJsonFile(paths.coordinator, z.object({ process: processIdentitySchema }));
    if (!coordinator || isAlive(coordinator.process)) return;
    this.#starting = true;
    this.#starts++;
    this.logger.warn({ start: this.#starts }, "the coordinator is dead; starting it again");
    const log = join(paths.logs, "coordinator.log");
    const child = await spawnLogged({
      program: entry,
      args: [],
      env: { COORD_RUN_ID: this.runId, COORD_HOME: this.home },
      stdout: log,
      stderr: log,
      detached: true,
    });
    child.ended.finally(() => {
      this.#starting = false;
    });
  }
}
