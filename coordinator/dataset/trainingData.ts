import { createHash } from "node:crypto";
import { worldSizeOf } from "../../shared/config/hosts.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { type EpochOrder, epochOrder } from "../../shared/dataset/epochOrder.ts";
import { type SamplePlan, totalSteps } from "../../shared/dataset/plan.ts";
import { openTokenFile, type TokenFile } from "../../shared/dataset/tokenFile.ts";
import { arrangeRows, type TrainingRows } from "../../shared/dataset/trainingRows.ts";
import type { PreparedDataset } from "./prepareDataset.ts";

/** What a run trains on: the samples, the rows that they make, and the order in which an epoch reads these. */
export interface TrainingData {
  readonly tokens: TokenFile;
  readonly rows: TrainingRows;
  readonly plan: SamplePlan;
  readonly maxSteps: number;
  /** Equal where two runs with the same seed and batch sizes read the same. */
  readonly key: string;
  /** What the rows are, where they are not the samples themselves: a sentence. */
  readonly description: string | undefined;
  orderOf(epoch: number): EpochOrder;
}

/** Opens what was prepared; the caller closes `tokens`. */
export async function openTrainingData(prepared: PreparedDataset, config: RunConfig): Promise<TrainingData> {
  const tokens = await openTokenFile(prepared.path);
  const rows = rowsOf(tokens, prepared.weights, config);
  const plan: SamplePlan = {
    seed: config.seed,
    datasetSize: rows.size,
    slots: config.slots ?? worldSizeOf(config),
    microBatch: config.perDeviceTrainBatchSize,
    accumulation: config.gradientAccumulationSteps,
  };
  const lengthOf = config.groupByLength ? rows.lengthOf : undefined;
  let last: { epoch: number; order: EpochOrder } | undefined;
  return {
    tokens,
    rows,
    plan,
    maxSteps: totalSteps(plan, config.numTrainEpochs, config.maxSteps),
    key: keyOf(tokens.contentKey, prepared.weights, config),
    description: describe(tokens, rows, config),
    orderOf: (epoch) => {
      if (last?.epoch !== epoch) last = { epoch, order: epochOrder(plan, epoch, lengthOf) };
      return last.order;
    },
  };
}

/** The rows that an epoch reads of a token file. */
export function rowsOf(
  tokens: Pick<TokenFile, "trainLengths" | "trainParts">,
  weights: readonly number[],
  { maxLength, packing, seed }: Pick<RunConfig, "maxLength" | "packing" | "seed">,
): TrainingRows {
  const { trainLengths: lengths, trainParts: parts } = tokens;
  return arrangeRows({ lengths, parts, weights, seed, packTo: packing ? maxLength : undefined });
}

function keyOf(contentKey: string, weights: readonly number[], config: RunConfig): string {
  const weighted = weights.some((weight) => weight !== 1);
  if (!weighted && !config.packing && !config.groupByLength) return contentKey;
  const shape = [contentKey, weighted ? weights : [], config.packing ? config.maxLength : 0, config.groupByLength];
  return createHash("sha256").update(JSON.stringify(shape)).digest("hex");
}

function describe(tokens: TokenFile, rows: TrainingRows, { maxLength, packing }: RunConfig): string | undefined {
  const number = (value: number) => value.toLocaleString("en-US");
  const { trainSize } = tokens;
  if (packing) {
    let full = 0;
    let samples = 0;
    for (let row = 0; row < rows.size; row++) {
      full += rows.lengthOf(row);
      samples += rows.samplesOf(row).length;
    }
    const share = ((100 * full) / (rows.size * maxLength)).toFixed(1);
    return `${number(samples)} samples are packed into ${number(rows.size)} rows of ${number(maxLength)} tokens, ${share} % full.`;
  }
  if (rows.size === trainSize) return undefined;
  return `By --data-weights an epoch reads ${number(rows.size)} samples.`;
}
