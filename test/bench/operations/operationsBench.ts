import { withGeneratedModel, withoutFlags } from "../generatedModel.ts";
import { formatNumber } from "../statistics.ts";
import { type ManyWorkers, measureManyWorkers } from "./manyWorkers.ts";
import { measureWatchCost, type WatchCost } from "./watchCost.ts";

/** What those who watch cost a training. */
export async function measureWatching(signal: AbortSignal, onLine: (line: string) => void): Promise<WatchCost[]> {
  const costs: WatchCost[] = [];
  const add = (cost: WatchCost) => {
    costs.push(cost);
    onLine(`watching, ${cost.name}: ${percent(cost.cost)} ± ${percent(cost.standardError)}`);
  };
  const endless = ["--max-steps", "100000", "--save-steps", "0"];
  await withGeneratedModel(async ([generated]) => {
    const args = withoutFlags(generated!.args, ["--max-steps", "--save-steps"]);
    add(await measureWatchCost("0.1 B model, 1 × 1", [...args, ...endless], { pairs: 10, windowMs: 5000 }, signal));
  });
  const demo = ["--nodes", "1", "--gpus", "2", "--per-device-train-batch-size", "4", "--eval-split", "0"];
  add(await measureWatchCost("demo, 1 × 2", [...demo, ...endless], { pairs: 20, windowMs: 2500 }, signal));
  return costs;
}

/** What many workers cost a coordinator. */
export async function measureWorkers(signal: AbortSignal, onLine: (line: string) => void): Promise<ManyWorkers[]> {
  const results = await measureManyWorkers({ nodes: 128, gpus: 8, seconds: 60 }, signal);
  for (const { cores, peakBytes, watched, workers } of results) {
    onLine(
      `${workers} workers, watched: ${watched}: ${cores.toFixed(2)} cores, peak ${(peakBytes / 1e6).toFixed(0)} MB`,
    );
  }
  return results;
}

const percent = (share: number) => `${(100 * share).toFixed(2)} %`;

export function renderWatching(costs: readonly WatchCost[]): string[] {
  return [
    "One run with `--dashboard`; in every other window a process asks for its status each second over a new connection, as",
    "`coord status` does, and reads the dashboard's stream. Time: per token, watched over unwatched, less 1, median of the pairs ±",
    "its standard error. Processor time of the coordinator: what it takes more per second while it is watched, which is the most",
    "that a training loop waiting for it can lose. The watching process runs on this host, too, and takes its own.",
    "",
    "| run | step, ms | pairs × window | steps | time | coordinator, more | watching process |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ...costs.map(
      ({ coordinatorSeconds, cost, name, pairs, standardError, stepMs, steps, watcherSeconds, windowMs }) =>
        `| ${name} | ${formatNumber(stepMs)} | ${pairs} × ${windowMs / 1000} s | ${steps} | ${percent(cost)} ± ${percent(standardError)} | ` +
        `${percent(coordinatorSeconds)} of a core | ${percent(watcherSeconds)} of a core |`,
    ),
    "",
  ];
}

export function renderWorkers(results: readonly ManyWorkers[]): string[] {
  return [
    "The coordinator's real process over gRPC on loopback; simulated workers in one other process, each with a connection of its own,",
    "its join stream open, and a heartbeat a second. Watched: a dashboard's stream open and a status asked for each second.",
    "",
    "| workers | watched | seconds | heartbeats/s | failed | answer, ms (longest) | cores | resident, MB (peak) |",
    "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ...results.map(
      (result) =>
        `| ${result.workers} | ${result.watched ? "yes" : "no"} | ${formatNumber(result.seconds)} | ${formatNumber(result.heartbeatsPerSecond)} | ` +
        `${result.failed} | ${formatNumber(result.medianMs)} (${formatNumber(result.longestMs)}) | ${formatNumber(result.cores)} | ` +
        `${formatNumber(result.residentBytes / 1e6)} (${formatNumber(result.peakBytes / 1e6)}) |`,
    ),
    "",
  ];
}
