import { dirname, join } from "node:path";
import { z } from "zod";
import { isS3 } from "../../shared/checkpoint/location.ts";
import { systemClock } from "../../shared/clock.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { toCoordError } from "../../shared/errors.ts";
import { readJsonFile, writeFileAtomic } from "../../shared/process/atomicFile.ts";
import type { EventLog } from "./eventLog.ts";
import { readEvents } from "./followEvents.ts";
import { MlflowClient, mlflowServer } from "./mlflow/mlflowClient.ts";
import { MlflowTracker } from "./mlflow/mlflowTracker.ts";
import { runHistory } from "./results/runHistory.ts";
import { TensorBoardWriter } from "./tensorboard/tensorBoardWriter.ts";
import type { Tracker, TrackerEnd } from "./tracker.ts";

interface TrackedRun {
  readonly runId: string;
  readonly eventsPath: string;
  readonly config: RunConfig;
}

/** By what name each tracker of --report-to knows the run, under its callback's name in HuggingFace's Trainer. */
export async function trackersOf(run: TrackedRun): Promise<Map<string, Record<string, string>>> {
  const known = new Map<string, Record<string, string>>();
  for (const name of run.config.reportTo) {
    if (name === "tensorboard") {
      known.set("TensorBoardCallback", { run_id: run.runId, log_dir: tensorBoardDirectory(run) });
    } else {
      const mlflow = await knownMlflowRun(run);
      if (mlflow) known.set("MLflowCallback", { run_id: mlflow.runId });
    }
  }
  return known;
}

/** Event files grow line by line, which objects cannot: with s3:// they are in the run's own directory. */
function tensorBoardDirectory({ config: { output }, eventsPath, runId }: TrackedRun): string {
  return isS3(output) ? join(dirname(eventsPath), "tensorboard") : join(output, "runs", runId);
}

/**
 * Hands the events from now on to the trackers of --report-to, until the returned function is called. A tracker that
 * fails is given up with a warning: training goes on.
 */
export async function followTrackers(run: TrackedRun, events: EventLog): Promise<(end: TrackerEnd) => Promise<void>> {
  const closers: ((end: TrackerEnd) => Promise<void>)[] = [];
  for (const name of run.config.reportTo) {
    const giveUp = (thrown: unknown) =>
      void events.add("warning", `${names[name]} gets no more figures: ${toCoordError(thrown).message}`);
    try {
      const tracker = await open[name](run, events);
      const unfollow = events.follow(0, (event) => {
        try {
          tracker.add(event);
        } catch (thrown) {
          unfollow();
          giveUp(thrown);
        }
      });
      closers.push(async (end) => {
        unfollow();
        await tracker.close(end);
      });
    } catch (thrown) {
      giveUp(thrown);
    }
  }
  return async (end) => void (await Promise.all(closers.map((close) => close(end))));
}

type TrackerName = RunConfig["reportTo"][number];

const names: Readonly<Record<TrackerName, string>> = { tensorboard: "TensorBoard", mlflow: "MLflow" };

const open: Readonly<Record<TrackerName, (run: TrackedRun, events: EventLog) => Promise<Tracker>>> = {
  async tensorboard(run) {
    const { loggingSteps } = run.config;
    const { evaluations } = runHistory(await readEvents(run.eventsPath));
    return new TensorBoardWriter({
      directory: tensorBoardDirectory(run),
      loggingSteps,
      evaluated: evaluations.map(({ step }) => step),
    });
  },
  async mlflow(run, events) {
    const { config, runId } = run;
    const path = mlflowFile(run);
    const known = await knownMlflowRun(run);
    return new MlflowTracker({
      client: new MlflowClient(mlflowServer(process.env)),
      experiment: process.env["MLFLOW_EXPERIMENT_NAME"] || "coord",
      runName: runId,
      params: config,
      loggingSteps: config.loggingSteps,
      clock: systemClock,
      mlflowRunId: known?.runId,
      keep: (mlflowRunId) => writeFileAtomic(path, `${JSON.stringify({ runId: mlflowRunId })}\n`, { mode: 0o600 }),
      onWarning: (message) => events.add("warning", message),
    });
  },
};

function mlflowFile({ eventsPath }: TrackedRun): string {
  return join(dirname(eventsPath), "mlflow.json");
}

/** The server's run that figures of an earlier start went to. */
function knownMlflowRun(run: TrackedRun): Promise<{ runId: string } | undefined> {
  return readJsonFile(mlflowFile(run), z.object({ runId: z.string() })).catch(() => undefined);
}
