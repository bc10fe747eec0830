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
    add(await measureWatchCost("0.1 B model, 1 × 1", [...args, ...endless], pairs, signal));
  });
  const demo = ["--nodes", "1", "--gpus", "2", "--per-device-train-batch-size", "4", "--eval-split", "0"];
  add(await measureWatchCost("demo, 1 × 2", [...demo, ...endless], pairs, signal));
  return costs;
}

const pairs = 5;

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
    "One run with `--dashboard`; in every other window of 8 s a process asks for its status each second over a new connection,",
    "as `coord status` does, and reads the dashboard's stream. Cost: time per token watched over unwatched, less 1, mean of the",
    "pairs ± its standard error. All of it shares this host's processors, the watching process too.",
    "",
    "| run | step, ms | pairs | steps | cost | coordinator, more cores |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
    ...costs.map(
      ({ coordinatorSeconds, cost, name, pairs, standardError, stepMs, steps }) =>
        `| ${name} | ${formatNumber(stepMs)} | ${pairs} | ${steps} | ${percent(cost)} ± ${percent(standardError)} | ${coordinatorSeconds.toFixed(3)} |`,
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
