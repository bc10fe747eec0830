import { randomInt } from "node:crypto";
import { access, mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { z } from "zod";
import { absoluteLocation } from "../../shared/checkpoint/location.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError } from "../../shared/errors.ts";
import { errorCode, fileError, readJsonFile, writeFileAtomic } from "../../shared/process/atomicFile.ts";
import { type Credentials, parseCredentials } from "../../shared/rpc/credentials.ts";
import { type RunPaths, runPaths } from "../../shared/runPaths.ts";
import { newToken } from "./runCredentials.ts";
import {
  type CoordinatorFile,
  coordinatorFileSchema,
  type ResultFile,
  type RunFile,
  resultFileSchema,
  runFileSchema,
} from "./runFiles.ts";
import { createRunId } from "./runId.ts";

const maxIdAttempts = 100;

/** The directory of one run under COORD_HOME: its files, read and written whole. Reading what is not there gives undefined. */
export class RunDirectory {
  readonly paths: RunPaths;

  constructor(
    readonly home: string,
    readonly runId: string,
  ) {
    this.paths = runPaths(home, runId);
  }

  /** Makes the directory of a new run with its run.json and token. Throws STORAGE_FAILED. */
  static async create(
    home: string,
    { config, output, now = new Date(), random = secureRandom }: NewRun,
  ): Promise<RunDirectory> {
    await makeDirectory(join(home, "runs"), true);
    for (let attempt = 0; attempt < maxIdAttempts; attempt++) {
      const directory = new RunDirectory(home, createRunId(now, random));
      // Two launches may draw the same id in the same minute: the one whose mkdir succeeds has it.
      if (!(await makeDirectory(directory.paths.root, false))) continue;
      await directory.#fill({
        runId: directory.runId,
        createdAtMs: now.getTime(),
        config,
        output: absoluteLocation(output),
      });
      return directory;
    }
    throw new CoordError("STORAGE_FAILED", `Found no free run id under ${join(home, "runs")}.`);
  }

  /**
   * The directory of a run whose id and token were given from outside, made where there is none yet; its run.json is
   * replaced, its other files stay. Throws STORAGE_FAILED.
   */
  static async adopt(
    home: string,
    { config, output, runId, token }: { config: RunConfig; output: string; runId: string; token: string },
  ): Promise<RunDirectory> {
    const directory = new RunDirectory(home, runId);
    const { logs, processes, root } = directory.paths;
    for (const path of [root, logs, processes]) await makeDirectory(path, true);
    await writeFileAtomic(directory.paths.token, `${token}\n`, { mode: 0o600 });
    const createdAtMs = (await directory.readRun())?.createdAtMs ?? Date.now();
    await directory.writeRun({ runId, createdAtMs, config, output });
    return directory;
  }

  readRun(): Promise<RunFile | undefined> {
    return readJsonFile(this.paths.run, runFileSchema);
  }

  /** Replaces run.json, for a run that continues with other settings. */
  writeRun(run: RunFile): Promise<void> {
    return writeJson(this.paths.run, runFileSchema, run);
  }

  /** What commands show the run's coordinator; there once it listens. */
  readAdminCredentials(): Promise<Credentials> {
    return readCredentials(this.paths.adminToken);
  }

  /** What lets somebody look, and change nothing; there once the coordinator listens. */
  readViewerCredentials(): Promise<Credentials> {
    return readCredentials(this.paths.viewerToken);
  }

  readCoordinator(): Promise<CoordinatorFile | undefined> {
    return readJsonFile(this.paths.coordinator, coordinatorFileSchema);
  }

  writeCoordinator(coordinator: CoordinatorFile): Promise<void> {
    return writeJson(this.paths.coordinator, coordinatorFileSchema, coordinator);
  }

  readResult(): Promise<ResultFile | undefined> {
    return readJsonFile(this.paths.result, resultFileSchema);
  }

  writeResult(result: ResultFile): Promise<void> {
    return writeJson(this.paths.result, resultFileSchema, result);
  }

  /** True when kill-stale has dealt with the hosts that the run has used over ssh. */
  hasClearedHosts(): Promise<boolean> {
    return access(this.paths.hostsCleared).then(
      () => true,
      () => false,
    );
  }

  /** Forgets how the run ended and where its coordinator was. For the holder of the run's lock, in front of going on. */
  async reopen(): Promise<void> {
    const { coordinator, hostsCleared, result } = this.paths;
    for (const path of [result, coordinator, hostsCleared]) await rm(path, { force: true });
    for (const path of [this.paths.processes, this.paths.logs]) await makeDirectory(path, true);
  }

  async #fill(run: RunFile): Promise<void> {
    const { root, processes, logs, token } = this.paths;
    try {
      await makeDirectory(processes, false);
      await makeDirectory(logs, false);
      await writeFileAtomic(token, `${newToken()}\n`, { mode: 0o600 });
      // Last: a directory with run.json is complete.
      await this.writeRun(run);
    } catch (thrown) {
      await rm(root, { recursive: true, force: true });
      throw thrown;
    }
  }
}

/** What a new run starts from. */
export interface NewRun {
  readonly config: RunConfig;
  /** Directory of checkpoints and the adapter; a relative one counts from the working directory. */
  readonly output: string;
  readonly now?: Date;
  /** Gives values in [0, 1). */
  readonly random?: () => number;
}

function secureRandom(): number {
  return randomInt(2 ** 32) / 2 ** 32;
}

function writeJson<T>(path: string, schema: z.ZodType<T>, value: T): Promise<void> {
  return writeFileAtomic(path, `${JSON.stringify(schema.parse(value), undefined, 2)}\n`, { mode: 0o600 });
}

/** Makes a directory for this user alone; returns false where it exists already and `recursive` is not set. */
async function makeDirectory(path: string, recursive: boolean): Promise<boolean> {
  try {
    await mkdir(path, { recursive, mode: 0o700 });
    return true;
  } catch (thrown) {
    if (errorCode(thrown) === "EEXIST" && !recursive) return false;
    throw fileError(thrown, "create", path);
  }
}

async function readCredentials(path: string): Promise<Credentials> {
  try {
    return parseCredentials(await readFile(path, "utf8"), path);
  } catch (thrown) {
    throw fileError(thrown, "read", path);
  }
}
