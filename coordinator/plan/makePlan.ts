import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { RunConfig } from "../../shared/config/schema.ts";
import type { ModelFacts } from "../../shared/plan/modelFacts.ts";
import { askModelFacts } from "./askModelFacts.ts";
import { type DataFacts, paddingFactor } from "./dataFacts.ts";
import type { PlanDocument } from "./planDocument.ts";
import { type PlanBasis, planRun, type RunShape } from "./planRun.ts";
import { readDataFacts } from "./readDataFacts.ts";
import { scaleTable } from "./scaleTable.ts";
import { simulateScale } from "./simulateScale.ts";

/** What a plan needs beside the run's configuration. */
export interface PlanWishes {
  /** Where token files are kept. */
  readonly cacheDirectory: string;
  /** Size of the training set, in place of reading one. */
  readonly samples?: number;
  /** False where no model was given, so that what depends on it is left out. */
  readonly hasModel: boolean;
  /** Memory of a worker's device, in bytes. */
  readonly limitBytes?: number;
  readonly networkGbps: number;
  /** Seconds that a worker computes for one slot, or for one input token of it, and where that is known from. */
  readonly measured?: MeasuredRate;
  readonly pricePerGpuHour?: number;
  /** Mean time between failures of a node, for the simulation. */
  readonly mtbfHours?: number;
}

export type MeasuredRate = {
  /** Seconds of each step beside computing. */
  readonly overheadSeconds: number;
  readonly source: string;
} & (
  | { readonly per: "slot"; readonly seconds: number }
  | {
      readonly per: "token";
      readonly seconds: number;
      /** How the run that showed it made its batches: it computed padding, too. */
      readonly batches: Pick<RunConfig, "perDeviceTrainBatchSize" | "groupByLength">;
    }
);

/** Estimates a run before anything is started. `config` must be pinned. Throws DATA_INVALID, MODEL_INVALID and their like. */
export async function makePlan(config: RunConfig, wishes: PlanWishes, signal: AbortSignal): Promise<PlanDocument> {
  const data: DataFacts =
    wishes.samples === undefined
      ? await readDataFacts(config, wishes.cacheDirectory, signal)
      : { trainSize: wishes.samples, evaluationSize: 0, source: { kind: "given" } };
  const model = wishes.hasModel ? await askModel(config, data, wishes.limitBytes) : undefined;
  const slotSeconds = secondsOfSlot(config, data, wishes.measured);
  const shape: RunShape = {
    nodes: config.nodes,
    gpus: config.gpus,
    slots: config.slots,
    microBatch: config.perDeviceTrainBatchSize,
    accumulation: config.gradientAccumulationSteps,
    epochs: config.numTrainEpochs,
    maxSteps: config.maxSteps,
    saveSteps: config.saveSteps,
    saveTotalLimit: config.saveTotalLimit,
    evalSteps: config.evalSteps,
  };
  const basis: PlanBasis = {
    trainSize: data.trainSize,
    evaluationSize: data.evaluationSize,
    networkGbps: wishes.networkGbps,
    ...(data.tokensPerSample === undefined ? {} : { tokensPerSample: data.tokensPerSample }),
    ...(model && { trainableElements: model.trainableElements }),
    ...(wishes.hasModel ? { checkpointExtraBytes: await tokenizerBytes(config.model!) } : {}),
    ...(slotSeconds && { slotSeconds: slotSeconds.value, overheadSeconds: wishes.measured!.overheadSeconds }),
    ...(wishes.pricePerGpuHour === undefined ? {} : { pricePerGpuHour: wishes.pricePerGpuHour }),
  };
  const { limitBytes, networkGbps } = wishes;
  const { lengths: _, ...shownData } = data;
  return {
    plan: planRun(shape, basis),
    data: shownData,
    ...(model && { model }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
    networkGbps,
    ...(slotSeconds && { slotSeconds }),
    scale: scaleTable(shape, basis),
    ...(wishes.mtbfHours === undefined ? {} : { simulated: simulateScale(shape, basis, wishes.mtbfHours) }),
    notes: notesOn(wishes, data, model),
  };
}

/** The longest sample decides the peak; where only some rows were looked at, --max-length bounds it. */
function askModel(config: RunConfig, data: DataFacts, limitBytes: number | undefined): Promise<ModelFacts> {
  const everything =
    data.source.kind === "cache" || (data.source.kind === "sample" && data.source.sampled === data.source.rows);
  const sequence = everything && data.longest ? data.longest : config.maxLength;
  return askModelFacts(config, { sequence, ...(limitBytes === undefined ? {} : { limitBytes }) });
}

function secondsOfSlot(
  config: RunConfig,
  { lengths = [], tokensPerSample }: DataFacts,
  measured: MeasuredRate | undefined,
): PlanDocument["slotSeconds"] {
  if (measured === undefined) return undefined;
  const { seconds, source } = measured;
  if (measured.per === "slot") return { value: seconds, source };
  if (tokensPerSample === undefined) return undefined;
  const samples = config.perDeviceTrainBatchSize * config.gradientAccumulationSteps;
  const padding = padded(lengths, config) / padded(lengths, measured.batches);
  return { value: seconds * tokensPerSample * samples * padding, source };
}

/** Samples of about one length need no padding. */
function padded(
  lengths: readonly number[],
  { groupByLength, perDeviceTrainBatchSize }: Pick<RunConfig, "perDeviceTrainBatchSize" | "groupByLength">,
): number {
  return groupByLength || lengths.length === 0 ? 1 : paddingFactor(lengths, perDeviceTrainBatchSize);
}

function notesOn(wishes: PlanWishes, data: DataFacts, model: ModelFacts | undefined): string[] {
  const notes: string[] = [];
  if (model !== undefined && data.source.kind === "sample" && data.source.sampled < data.source.rows) {
    notes.push(
      `Memory is for samples of --max-length ${model.sequence} tokens; the longest of those looked at has ${data.longest}.`,
    );
  }
  if (wishes.measured === undefined) {
    notes.push("Give --step-seconds, or --like RUN for the speed that a run has shown, to see time and cost.");
  } else if (wishes.measured.per === "token" && data.tokensPerSample === undefined) {
    notes.push("--like needs a data set: without one the tokens per sample are not known.");
  }
  return notes;
}

async function tokenizerBytes(model: string): Promise<number> {
  const names = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"];
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(model, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((total, size) => total + size, 0);
}
