/** What is read where: all that the order of the data depends on, but for lengths where rows are grouped by them. */
export interface SamplePlan {
  /** Below 2^32. */
  readonly seed: number;
  /** Rows of an epoch, at least 1: training samples, or rows of packed ones. */
  readonly datasetSize: number;
  /** Logical shards of a global batch. */
  readonly slots: number;
  /** Rows per micro-batch. */
  readonly microBatch: number;
  /** Micro-batches per slot and step. */
  readonly accumulation: number;
}

/** Optimizer steps of one pass over the data set; the last one may be short. */
export function stepsPerEpoch(plan: SamplePlan): number {
  return Math.ceil(plan.datasetSize / globalBatch(plan));
}

/** Optimizer steps of the whole run: `maxSteps` where positive, otherwise as many as the epochs take (rounded up). */
export function totalSteps(plan: SamplePlan, numTrainEpochs: number, maxSteps: number): number {
  return maxSteps > 0 ? maxSteps : Math.ceil(stepsPerEpoch(plan) * numTrainEpochs);
}

/** Epochs done after `step` steps, fractional, as HuggingFace's trainer_state.json counts them. */
export function epochAt(plan: SamplePlan, step: number): number {
  return step / stepsPerEpoch(plan);
}

/** Numbers in an epoch, as the micro-batches of a slot. */
export interface SlotShare {
  readonly epoch: number;
  readonly microBatches: number[][];
}

/**
 * The places in an epoch's order that slot `slot` (from 0) reads at step `step` (from 1), as micro-batches of at most
 * `microBatch`. A pure function of its arguments. Each epoch visits every place exactly once; the short last step of an
 * epoch spreads its rows over the slots as evenly as can be, so a slot may get none: no micro-batches.
 */
export function slotPlaces(plan: SamplePlan, step: number, slot: number): SlotShare {
  if (!Number.isSafeInteger(step) || step < 1) throw new RangeError(`Steps count from 1, not ${step}.`);
  const perEpoch = stepsPerEpoch(plan);
  const epoch = Math.floor((step - 1) / perEpoch);
  const first = ((step - 1) % perEpoch) * globalBatch(plan);
  const size = Math.min(globalBatch(plan), plan.datasetSize - first);
  const share = shareOf(size, plan.slots, slot);
  const places = Array.from({ length: share.length }, (_, index) => first + share.start + index);
  return { epoch, microBatches: chunk(places, plan.microBatch) };
}

/** The held-out samples of slot `slot`, in file order: contiguous ranges, as even as can be, in micro-batches. */
export function evaluationSamples(size: number, slots: number, slot: number, microBatch: number): number[][] {
  const share = shareOf(size, slots, slot);
  const samples = Array.from({ length: share.length }, (_, index) => share.start + index);
  return chunk(samples, microBatch);
}

/** Rows of a full step. */
export function globalBatch(plan: SamplePlan): number {
  return plan.slots * plan.microBatch * plan.accumulation;
}

/** The contiguous part of `size` samples that belongs to `slot`; the first `size % slots` slots get one more. */
function shareOf(size: number, slots: number, slot: number): { start: number; length: number } {
  if (!(slot >= 0 && slot < slots)) throw new RangeError(`Slot ${slot} is not below the number of slots ${slots}.`);
  const least = Math.floor(size / slots);
  const extra = size % slots;
  return { start: slot * least + Math.min(slot, extra), length: least + (slot < extra ? 1 : 0) };
}

function chunk(samples: number[], length: number): number[][] {
  const chunks: number[][] = [];
  for (let at = 0; at < samples.length; at += length) chunks.push(samples.slice(at, at + length));
  return chunks;
}
