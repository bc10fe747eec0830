import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { RunConfig } from "../../../shared/config/schema.ts";
import { toCoordError } from "../../../shared/errors.ts";
import { writeFileAtomic } from "../../../shared/process/atomicFile.ts";
import type { EventLog } from "../eventLog.ts";
import { readEvents } from "../followEvents.ts";
import { lossCurve } from "./lossCurve.ts";
import { runHistory } from "./runHistory.ts";
import { allResults, trainResults } from "./trainResults.ts";

/** Results are for everybody to read, unlike the run's own files. */
const mode = 0o644;

/**
 * Leaves train_results.json, all_results.json and loss_curve.svg in the output directory of a run that has taken a step.
 * What cannot be written is a warning among the events: the run's outcome stands.
 */
export async function writeResults(
  run: { readonly runId: string; readonly eventsPath: string; readonly config: Pick<RunConfig, "output"> },
  events: EventLog,
): Promise<void> {
  try {
    const history = runHistory(await readEvents(run.eventsPath));
    if (history.training.length === 0) return;
    const { output } = run.config;
    await mkdir(output, { recursive: true });
    const write = (name: string, content: string) => writeFileAtomic(join(output, name), content, { mode });
    await write("train_results.json", json(trainResults(history)));
    await write("all_results.json", json(allResults(history)));
    await write("loss_curve.svg", lossCurve(history, `Loss of run ${run.runId}`));
  } catch (thrown) {
    events.add("warning", `The run's results could not be written. ${toCoordError(thrown).message}`);
  }
}

function json(value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
