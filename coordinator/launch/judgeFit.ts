import type { RunConfig } from "../../shared/config/schema.ts";
import type { ModelFacts, WorkerMemory } from "../../shared/plan/modelFacts.ts";
import { binaryBytes } from "../plan/binaryBytes.ts";

type FitSettings = Pick<
  RunConfig,
  "gradientAccumulationSteps" | "gradientCheckpointing" | "loadIn4bit" | "loadIn8bit" | "perDeviceTrainBatchSize"
>;

/** What is known of the workers of one host before any is started. */
export interface HostFit {
  readonly facts: ModelFacts;
  readonly workers: number;
  /** Memory that all of them may take together, in bytes. */
  readonly availableBytes: number;
}

/** Memory of all workers of the host at their peak: float32 weights that are mapped from files are there once. */
export function hostBytes({ facts, workers }: HostFit, config: FitSettings): number {
  const { memory } = facts;
  const mapped = !isLayered(config) && facts.dtypes.every((dtype) => dtype === "F32");
  return workers * memory.total - (mapped ? (workers - 1) * memory.weights : 0);
}

/** Why a run cannot fit this host and what would make it; undefined where it fits. */
export function judgeFit(fit: HostFit, config: FitSettings): string | undefined {
  const { availableBytes, facts, workers } = fit;
  const { largest, memory, sequence } = facts;
  const needed = hostBytes(fit, config);
  if (needed <= availableBytes) return undefined;
  const each = workers === 1 ? "" : ` for ${workers} workers`;
  const what = `The run needs about ${binaryBytes(needed)}${each} on this host, of which ${binaryBytes(availableBytes)} can be had`;
  const term = largestTerm(memory);
  const size = `micro-batches of ${memory.batch} × ${sequence} tokens`;
  const blame = `${term.name} are the largest part: ${binaryBytes(term.bytes)} of ${binaryBytes(memory.total)} per worker with ${size}`;
  return `${what}; ${blame}. ${wayOut(largest, workers, config)}`;
}

/** The largest micro-batch that divides a slot's samples and is at most `largest`. */
export function fittingBatch(config: FitSettings, largest: number): Partial<FitSettings> {
  const { gradientAccumulationSteps, perDeviceTrainBatchSize } = config;
  const samples = perDeviceTrainBatchSize * gradientAccumulationSteps;
  let batch = Math.min(largest, perDeviceTrainBatchSize);
  while (samples % batch !== 0) batch--;
  return { perDeviceTrainBatchSize: batch, gradientAccumulationSteps: samples / batch };
}

function wayOut(largest: WorkerMemory | undefined, workers: number, config: FitSettings): string {
  if (largest && largest.batch < config.perDeviceTrainBatchSize) {
    const { gradientAccumulationSteps: steps, perDeviceTrainBatchSize: batch } = fittingBatch(config, largest.batch);
    return (
      `The largest micro-batch that fits is ${largest.batch}; --per-device-train-batch-size ${batch} ` +
      `--gradient-accumulation-steps ${steps} keeps the global batch, and --auto-find-batch-size does so by itself.`
    );
  }
  const less = isLayered(config) ? (config.loadIn4bit ? [] : ["--load-in-4bit"]) : ["--gradient-checkpointing"];
  const ways = [...less, "a smaller --max-length", ...(workers > 1 ? ["fewer workers on this host"] : [])];
  return `Not even a micro-batch of 1 fits: use ${ways.join(", ")} or a host with more memory.`;
}

function largestTerm(memory: WorkerMemory): { name: string; bytes: number } {
  const terms = [
    { name: "weights", bytes: memory.weights },
    { name: "activations", bytes: memory.activations },
    { name: "adapter and gradients", bytes: memory.trainable },
    { name: "moments of the optimizer", bytes: memory.optimizer },
  ];
  return terms.reduce((a, b) => (b.bytes > a.bytes ? b : a));
}

const isLayered = (config: FitSettings) => config.gradientCheckpointing || config.loadIn4bit || config.loadIn8bit;
