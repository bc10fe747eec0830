// Prepares a data set as a run does and prints what that took as JSON: prepareProcess DATA MODEL OUTPUT MAX_LENGTH
import { prepareDataset } from "../../../coordinator/dataset/prepareDataset.ts";
import { runConfigSchema } from "../../../shared/config/schema.ts";
import type { Prepared } from "./datasetResults.ts";

const [data, model, output, maxLength] = process.argv.slice(2);
const start = performance.now();
const cpu = process.cpuUsage();
const { summary } = await prepareDataset({
  config: runConfigSchema.parse({ maxLength: Number(maxLength) }),
  modelDirectory: model!,
  data: [data!],
  cacheDirectory: output!,
  signal: new AbortController().signal,
  onProgress: () => {},
});
const seconds = (performance.now() - start) / 1000;
const { user, system } = process.cpuUsage(cpu);
const prepared: Prepared = {
  samples: summary.trainSize,
  tokens: summary.tokens,
  labels: summary.trainLabels,
  seconds,
  cpuSeconds: (user + system) / 1e6,
  peakBytes: process.resourceUsage().maxRSS * 1024,
};
process.stdout.write(`${JSON.stringify(prepared)}\n`);
