import { dirname, join } from "node:path";
import { isS3 } from "../../shared/checkpoint/location.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { toCoordError } from "../../shared/errors.ts";
import type { EventLog } from "./eventLog.ts";
import { readEvents } from "./followEvents.ts";
import { runHistory } from "./results/runHistory.ts";
import { TensorBoardWriter } from "./tensorboard/tensorBoardWriter.ts";

/**
 * Hands the events from now on to the trackers of --report-to, until the returned function is called. A tracker that
 * fails is given up with a warning: training goes on.
 */
export async function followTrackers(
  run: { readonly runId: string; readonly eventsPath: string; readonly config: RunConfig },
  events: EventLog,
): Promise<() => void> {
  const { loggingSteps, output, reportTo } = run.config;
  if (!reportTo.includes("tensorboard")) return () => {};
  const { evaluations } = runHistory(await readEvents(run.eventsPath));
  // Event files grow line by line, which objects cannot: with s3:// they are in the run's own directory.
  const directory = isS3(output) ? join(dirname(run.eventsPath), "tensorboard") : join(output, "runs", run.runId);
  const writer = new TensorBoardWriter({ directory, loggingSteps, evaluated: evaluations.map(({ step }) => step) });
  const unfollow = events.follow(0, (event) => {
    try {
      writer.add(event);
    } catch (thrown) {
      unfollow();
      events.add("warning", `TensorBoard gets no more figures: ${toCoordError(thrown).message}`);
    }
  });
  return () => {
    unfollow();
    writer.close();
  };
}
