import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { isS3 } from "../../../shared/checkpoint/location.ts";
import type { RunConfig } from "../../../shared/config/schema.ts";
import { toCoordError } from "../../../shared/errors.ts";
import { writeFileAtomic } from "../../../shared/process/atomicFile.ts";
import type { EventLog } from "../eventLog.ts";
import { readEvents } from "../followEvents.ts";
import { renderPng } from "./chart/renderPng.ts";
import { renderSvg } from "./chart/renderSvg.ts";
import { lossPicture } from "./lossCurve.ts";
import { runHistory } from "./runHistory.ts";
import { allResults, experimentResults, trainResults } from "./trainResults.ts";

/** Results are for everybody to read, unlike the run's own files. */
const mode = 0o644;

/**
 * Leaves train_results.json, all_results.json, experiment_results.json, loss_curve.svg and .png in the output of a run that has taken a step.
 * What cannot be written is a warning among the events: the run's outcome stands.
 */
export async function writeResults(
  run: { readonly runId: string; readonly eventsPath: string; readonly config: RunConfig },
  events: EventLog,
): Promise<void> {
  try {
    const history = runHistory(await readEvents(run.eventsPath));
    if (history.training.length === 0) return;
    const { output } = run.config;
    const picture = lossPicture(history, `Loss of run ${run.runId}`);
    await writeAll(output, {
      "train_results.json": json(trainResults(history)),
      "all_results.json": json(allResults(history)),
      "experiment_results.json": json(experimentResults(history, run)),
      "loss_curve.svg": renderSvg(picture),
      "loss_curve.png": renderPng(picture),
    });
  } catch (thrown) {
    events.add("warning", `The run's results could not be written. ${toCoordError(thrown).message}`);
  }
}

async function writeAll(output: string, contents: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
  const entries = Object.entries(contents);
  if (isS3(output)) {
    const { putFiles } = await import("../../../shared/checkpoint/s3/putFiles.ts");
    await putFiles(
      output,
      entries.map(([name, content]) => ({
        name,
        parts: [typeof content === "string" ? new TextEncoder().encode(content) : content],
      })),
    );
    return;
  }
  await mkdir(output, { recursive: true });
  for (const [name, content] of entries) await writeFileAtomic(join(output, name), content, { mode });
}

function json(value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
