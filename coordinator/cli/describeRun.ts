import { worldSizeOf } from "../../shared/config/hosts.ts";
import { findJob } from "../launch/slurm/slurmJob.ts";
import { type StatusDocument, statusDocument } from "../observe/renderStatus.ts";
import type { Liveness } from "../runs/decideLiveness.ts";
import { openRunClient } from "../runs/runClient.ts";
import { runLiveness } from "../runs/runLiveness.ts";
import { reachRun } from "./reachRun.ts";
import type { SelectedRun } from "./selectRun.ts";

/** Where a run stands: from its coordinator while that lives, from its files before and after. */
export async function describeRun(selected: SelectedRun): Promise<StatusDocument> {
  const [document, job] = await Promise.all([
    describeTraining(selected),
    findJob(selected.directory.paths.slurmJob).catch(() => undefined),
  ]);
  return { ...document, job: job ?? null };
}

async function describeTraining(selected: SelectedRun): Promise<StatusDocument> {
  const { directory } = selected;
  const liveness = await runLiveness(directory);
  if (liveness !== "live") return describeFiles(selected, liveness);
  const client = openRunClient(await reachRun(selected));
  try {
    return statusDocument(await client.getStatus());
  } catch (thrown) {
    // It may have ended between the two questions.
    if ((await directory.readResult()) !== undefined) return describeFiles(selected, "ended");
    // The job is there, on whatever host; a coordinator that was killed is started again by its script.
    if (selected.run.config.launcher === "slurm") return describeFiles(selected, "starting");
    throw thrown;
  } finally {
    client.close();
  }
}

/** What the run directory alone tells. */
export async function describeFiles(
  { runId, directory, run }: SelectedRun,
  liveness: Liveness,
): Promise<StatusDocument> {
  const result = await directory.readResult();
  return {
    run: runId,
    state: result?.state ?? liveness,
    reason: result?.message ?? reasons[liveness],
    step: result?.step ?? 0,
    maxSteps: result?.maxSteps ?? 0,
    generation: 0,
    worldSize: worldSizeOf(run.config),
    output: run.output,
    checkpoint: result?.checkpoint || null,
    adapter: result?.adapter || null,
    loss: null,
    learningRate: null,
    tokensPerSecond: null,
    etaSeconds: null,
    errorCode: result?.errorCode || null,
    exitCode: result?.exitCode ?? null,
    job: null,
    workers: [],
  };
}

const reasons: Readonly<Record<Liveness, string>> = {
  starting: "The coordinator does not listen yet.",
  live: "",
  ended: "",
  dead: "The coordinator died without leaving a result; coord resume continues from the newest checkpoint.",
};
