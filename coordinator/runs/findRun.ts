import { readdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import { absoluteLocation, isS3 } from "../../shared/checkpoint/location.ts";
import { CoordError } from "../../shared/errors.ts";
import { errorCode, fileError } from "../../shared/process/atomicFile.ts";
import { readClaim } from "./claimOutput.ts";
import { RunDirectory } from "./runDirectory.ts";
import type { RunFile } from "./runFiles.ts";
import { isRunId } from "./runId.ts";

/** A run that COORD_HOME knows. */
export interface KnownRun {
  readonly runId: string;
  readonly directory: RunDirectory;
  /** Undefined when run.json cannot be read; `problem` says why. */
  readonly run: RunFile | undefined;
  readonly problem?: string;
}

/** Run ids in an error message. */
const listedRuns = 10;

/**
 * Finds a run by its id, the start of its id, or its output directory; the newest one when no name is given.
 * Throws RUN_NOT_FOUND listing the known ones.
 */
export async function findRun(home: string, nameOrOutput?: string): Promise<KnownRun> {
  const runs = await listRuns(home);
  if (nameOrOutput === undefined || nameOrOutput === "") {
    const newest = runs.find(({ run }) => run !== undefined);
    if (newest) return newest;
    throw new CoordError("RUN_NOT_FOUND", `There is no run under ${home}; \`coord launch\` starts one.`);
  }
  const exact = runs.find(({ runId }) => runId === nameOrOutput);
  if (exact) return exact;
  const byOutput = await findByOutput(runs, nameOrOutput);
  if (byOutput) return byOutput;
  const byPrefix = runs.filter(({ runId }) => runId.startsWith(nameOrOutput));
  if (byPrefix.length === 1) return byPrefix[0]!;
  const name = JSON.stringify(nameOrOutput);
  throw new CoordError(
    "RUN_NOT_FOUND",
    byPrefix.length > 1
      ? `${name} is the start of ${byPrefix.length} runs: ${listIds(byPrefix)}; give more of the id.`
      : `No run is named ${name} and none has that output directory; ${known(runs, home)}`,
  );
}

/** All runs, the newest first. A run whose run.json cannot be read is listed with the problem. */
export async function listRuns(home: string): Promise<KnownRun[]> {
  const runs = await Promise.all((await runIds(home)).map((runId) => describe(home, runId)));
  const created = ({ run }: KnownRun) => run?.createdAtMs ?? 0;
  return runs
    .filter((run) => run !== undefined)
    .sort((a, b) => created(b) - created(a) || (a.runId < b.runId ? 1 : -1));
}

/** Names of all run directories, whatever is in them. */
export async function runIds(home: string): Promise<string[]> {
  const root = join(home, "runs");
  try {
    const entries = await readdir(root, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory() && isRunId(entry.name)).map(({ name }) => name);
  } catch (thrown) {
    if (errorCode(thrown) === "ENOENT") return [];
    throw fileError(thrown, "read", root);
  }
}

async function describe(home: string, runId: string): Promise<KnownRun | undefined> {
  const directory = new RunDirectory(home, runId);
  try {
    const run = await directory.readRun();
    // Without run.json the directory is just being made.
    return run && { runId, directory, run };
  } catch (thrown) {
    return { runId, directory, run: undefined, problem: thrown instanceof Error ? thrown.message : String(thrown) };
  }
}

async function findByOutput(runs: readonly KnownRun[], output: string): Promise<KnownRun | undefined> {
  if (isS3(output)) {
    const url = absoluteLocation(output);
    return runs.find(({ run }) => run?.output === url);
  }
  const wanted = absoluteLocation(output);
  const claim = await readClaim(wanted).catch(() => undefined);
  const claimed = runs.find(({ runId }) => runId === claim?.runId);
  if (claimed) return claimed;
  const real = await realpath(wanted).catch(() => wanted);
  return runs.find(({ run }) => run !== undefined && (run.output === wanted || run.output === real));
}

function known(runs: readonly KnownRun[], home: string): string {
  if (runs.length === 0) return `there is no run under ${home} at all.`;
  return `known runs: ${listIds(runs)}.`;
}

function listIds(runs: readonly KnownRun[]): string {
  const ids = runs.slice(0, listedRuns).map(({ runId }) => runId);
  return ids.join(", ") + (runs.length > listedRuns ? ` and ${runs.length - listedRuns} more` : "");
}
