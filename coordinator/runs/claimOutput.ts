import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { CoordError } from "../../shared/errors.ts";
import { errorCode, fileError, readJsonFile, writeFileAtomic } from "../../shared/process/atomicFile.ts";
import { acquireLock } from "../../shared/process/exclusiveLock.ts";
import { decideClaim, isTrainingResult } from "./decideClaim.ts";
import { RunDirectory } from "./runDirectory.ts";
import { isRunId } from "./runId.ts";
import { runLiveness } from "./runLiveness.ts";

const claimSchema = z.strictObject({
  runId: z.string().refine(isRunId),
  /** COORD_HOME of the run. */
  home: z.string().min(1),
  claimedAtMs: z.number().nonnegative(),
});

export type OutputClaim = z.infer<typeof claimSchema>;

/**
 * Claims an output directory for a run, making it where there is none, and writes OUTPUT/.coord-run.json.
 * Throws OUTPUT_IN_USE when it holds another run's checkpoints or belongs to a run that is going on; STORAGE_FAILED.
 */
export async function claimOutput(output: string, { home, runId }: { home: string; runId: string }): Promise<void> {
  await makeOutput(output);
  const lock = await acquireLock(join(output, ".coord-claim"), runId);
  if (!("release" in lock)) throw inUse(output, `run ${lock.holder.runId} is just claiming it`, lock.holder.runId);
  try {
    const claim = await readClaim(output);
    const { decision, reason } = decideClaim(runId, {
      claim: claim && { runId: claim.runId, goesOn: await goesOn(claim) },
      results: (await readdir(output)).filter(isTrainingResult).sort(),
    });
    if (decision === "refuse") throw inUse(output, reason, claim?.runId);
    if (claim?.runId === runId) return;
    const text = JSON.stringify({ runId, home, claimedAtMs: Date.now() } satisfies OutputClaim);
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

async function goesOn({ home, runId }: OutputClaim): Promise<boolean> {
  const liveness = await runLiveness(new RunDirectory(home, runId));
  return liveness === "live" || liveness === "starting";
}

async function makeOutput(output: string): Promise<void> {
  try {
    await mkdir(output, { recursive: true });
  } catch (thrown) {
    if (errorCode(thrown) !== "EEXIST") throw fileError(thrown, "create", output);
    throw new CoordError("CONFIG_INVALID", `${output} is a file; --output must be a directory.`);
  }
}

function inUse(output: string, reason: string, runId: string | undefined): CoordError {
  const resume = runId === undefined ? "" : `continue that run with \`coord resume ${runId}\`, or `;
  return new CoordError(
    "OUTPUT_IN_USE",
    `The output directory ${output} cannot be used: ${reason}; ${resume}choose another --output.`,
  );
}
