import { mkdir, readdir, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { isS3 } from "../../shared/checkpoint/location.ts";
import { CoordError } from "../../shared/errors.ts";
import { errorCode, fileError, readJsonFile, writeFileAtomic } from "../../shared/process/atomicFile.ts";
import { acquireLock } from "../../shared/process/exclusiveLock.ts";
import { decideClaim, isTrainingResult } from "./decideClaim.ts";
import { RunDirectory } from "./runDirectory.ts";
import { isRunId } from "./runId.ts";
import { runLiveness } from "./runLiveness.ts";

export const claimSchema = z.strictObject({
  runId: z.string().refine(isRunId),
  /** COORD_HOME of the run. */
  home: z.string().min(1),
  claimedAtMs: z.number().nonnegative(),
  /** The topmost directory that was made for the output; absent where it was there before. */
  made: z.string().min(1).optional(),
});

export type OutputClaim = z.infer<typeof claimSchema>;

/**
 * Claims an output directory (or s3:// URL) for a run, making it where there is none, and writes OUTPUT/.coord-run.json.
 * Throws OUTPUT_IN_USE when it holds another run's checkpoints or belongs to a run that is going on; STORAGE_FAILED.
 */
export async function claimOutput(output: string, run: { home: string; runId: string }): Promise<void> {
  if (isS3(output)) return (await import("./claimBucket.ts")).claimBucket(output, run);
  const made = await makeOutput(output);
  try {
    await claim(output, made, run);
  } catch (thrown) {
    await removeMade(output, made);
    throw thrown;
  }
}

/**
 * Gives an output directory back that a run claimed and left nothing in: the claim goes, and so do the directories that
 * were made for it. Does nothing where the run has left results or the directory is not its own.
 */
export async function releaseOutput(output: string, { runId }: { runId: string }): Promise<void> {
  if (isS3(output)) return (await import("./claimBucket.ts")).releaseBucket(output, { runId });
  const names = await readdir(output).catch(() => []);
  if (names.length === 0 || names.some(isTrainingResult)) return;
  const lock = await acquireLock(join(output, ".coord-claim"), runId);
  if (!("release" in lock)) return;
  let claim: OutputClaim | undefined;
  try {
    claim = await readClaim(output);
    if (claim?.runId !== runId) return;
    await rm(claimPath(output), { force: true });
  } finally {
    await lock.release();
  }
  await removeMade(output, claim.made);
}

async function claim(output: string, made: string | undefined, { home, runId }: { home: string; runId: string }) {
  const lock = await acquireLock(join(output, ".coord-claim"), runId);
  if (!("release" in lock)) throw inUse(output, `run ${lock.holder.runId} is just claiming it`, lock.holder.runId);
  try {
    const before = await readClaim(output);
    const { decision, reason } = decideClaim(runId, {
      claim: before && { runId: before.runId, goesOn: await claimIsAlive(before) },
      results: (await readdir(output)).filter(isTrainingResult).sort(),
    });
    if (decision === "refuse") throw inUse(output, reason, before?.runId);
    if (before?.runId === runId) return;
    const text = JSON.stringify({ runId, home, claimedAtMs: Date.now(), made } satisfies OutputClaim);
    await writeFileAtomic(claimPath(output), `${text}\n`, { mode: 0o644 });
  } finally {
    await lock.release();
  }
}

/** The run that an output directory belongs to; undefined when none has claimed it. Throws STORAGE_FAILED. */
export function readClaim(output: string): Promise<OutputClaim | undefined> {
  return readJsonFile(claimPath(output), claimSchema);
}

function claimPath(output: string): string {
  return join(output, ".coord-run.json");
}

/** Whether the run that made a claim is going on. */
export async function claimIsAlive({ home, runId }: OutputClaim): Promise<boolean> {
  const liveness = await runLiveness(new RunDirectory(home, runId));
  return liveness === "live" || liveness === "starting";
}

/** Returns the topmost directory made, if any. */
async function makeOutput(output: string): Promise<string | undefined> {
  try {
    return await mkdir(output, { recursive: true });
  } catch (thrown) {
    if (errorCode(thrown) !== "EEXIST") throw fileError(thrown, "create", output);
    throw new CoordError("CONFIG_INVALID", `${output} is a file; --output must be a directory.`);
  }
}

/** Removes the directories from `output` up to `made`, as far as they are empty. */
async function removeMade(output: string, made: string | undefined): Promise<void> {
  if (made === undefined) return;
  try {
    for (let path = output; path.startsWith(made); path = dirname(path)) await rmdir(path);
  } catch {
    // Somebody has put something there: it stays.
  }
}

/** The refusal of an output. */
export function inUse(output: string, reason: string, runId: string | undefined): CoordError {
  const resume = runId === undefined ? "" : `continue that run with \`coord resume ${runId}\`, or `;
  return new CoordError(
    "OUTPUT_IN_USE",
    `The output ${output} cannot be used: ${reason}; ${resume}choose another --output.`,
  );
}
