import { epochAt, type SamplePlan, stepsPerEpoch, totalSteps } from "../../shared/dataset/plan.ts";

/** How the work of a run is cut up. */
export interface RunShape {
  readonly nodes: number;
  /** Workers per node. */
  readonly gpus: number;
  /** Logical shards of a global batch; absent for one per worker. */
  readonly slots?: number | undefined;
  readonly microBatch: number;
  readonly accumulation: number;
  readonly epochs: number;
  /** Steps that override the epochs when positive. */
  readonly maxSteps: number;
  readonly saveSteps: number;
  readonly saveTotalLimit: number;
  readonly evalSteps: number;
}

/** What the plan knows of data, model and machine; what is absent leaves its part of the plan out. */
export interface PlanBasis {
  readonly trainSize: number;
  readonly evaluationSize: number;
  /** Mean tokens per training sample. */
  readonly tokensPerSample?: number;
  /** Trainable elements. */
  readonly trainableElements?: number;
  /** Bytes that each checkpoint holds beside adapter and optimizer: tokenizer files. */
  readonly checkpointExtraBytes?: number;
  /** Bandwidth of the coordinator's network link in each direction, 10^9 bits per second. */
  readonly networkGbps: number;
  /** Seconds of forward and backward passes of one slot: `gradient_accumulation_steps` micro-batches. */
  readonly slotSeconds?: number;
  /** Seconds of each step beside computing and the network: waiting for the slowest worker, votes. */
  readonly overheadSeconds?: number;
  /** Any currency. */
  readonly pricePerGpuHour?: number;
}

/** What a run will take. Bytes, seconds and counts. */
export interface RunPlan {
  readonly nodes: number;
  readonly gpus: number;
  readonly worldSize: number;
  readonly slots: number;
  /** Samples per step. */
  readonly globalBatch: number;
  readonly stepsPerEpoch: number;
  readonly steps: number;
  readonly epochs: number;
  /** Training samples read over the whole run. */
  readonly samples: number;
  /** Training tokens read over the whole run. */
  readonly tokens?: number;
  readonly evaluations: number;
  readonly allReduce?: AllReducePlan;
  readonly checkpoints?: CheckpointPlan;
  readonly time?: TimePlan;
  readonly cost?: number;
}

export interface AllReducePlan {
  /** One gradient. */
  readonly gradientBytes: number;
  /** Into and out of the coordinator, per step. */
  readonly inBytes: number;
  readonly outBytes: number;
  /** Per step, while the coordinator's link is the bottleneck; 0 on a single host, whose loopback is not the network. */
  readonly seconds: number;
}

export interface CheckpointPlan {
  readonly count: number;
  /** Kept at the end. */
  readonly kept: number;
  readonly bytesEach: number;
  /** Largest space taken at once: those kept and the one being written. */
  readonly bytesAtOnce: number;
}

export interface TimePlan {
  readonly computeSeconds: number;
  readonly allReduceSeconds: number;
  readonly overheadSeconds: number;
  /** All of these, per step. */
  readonly stepSeconds: number;
  /** Held-out losses, over the whole run. */
  readonly evaluationSeconds: number;
  readonly totalSeconds: number;
}

const floatBytes = 4;
/** Headers, trainer state and manifest of a checkpoint, in bytes; the trainer state grows with logged steps. */
const checkpointOverheadBytes = 64 * 1024;
/** A forward pass is about a third of forward and backward (Kaplan et al. 2020, section 2.1). */
const forwardShare = 1 / 3;

/** Works out steps, traffic, checkpoints, time and cost of a run. */
export function planRun(shape: RunShape, basis: PlanBasis): RunPlan {
  const worldSize = shape.nodes * shape.gpus;
  const slots = shape.slots ?? worldSize;
  const plan: SamplePlan = {
    seed: 0,
    datasetSize: basis.trainSize,
    slots,
    microBatch: shape.microBatch,
    accumulation: shape.accumulation,
  };
  const steps = totalSteps(plan, shape.epochs, shape.maxSteps);
  const samples = samplesRead(plan, steps);
  const evaluations = basis.evaluationSize === 0 ? 0 : evaluationCount(steps, shape.evalSteps);
  const allReduce = planAllReduce(shape, slots, basis);
  const checkpoints = planCheckpoints(shape, steps, basis);
  const time = planTime(shape, { slots, steps, evaluations }, allReduce, basis);
  const { pricePerGpuHour, tokensPerSample } = basis;
  return {
    nodes: shape.nodes,
    gpus: shape.gpus,
    worldSize,
    slots,
    globalBatch: slots * shape.microBatch * shape.accumulation,
    stepsPerEpoch: stepsPerEpoch(plan),
    steps,
    epochs: epochAt(plan, steps),
    samples,
    evaluations,
    ...(tokensPerSample === undefined ? {} : { tokens: Math.round(samples * tokensPerSample) }),
    ...(allReduce && { allReduce }),
    ...(checkpoints && { checkpoints }),
    ...(time && { time }),
    ...(time && pricePerGpuHour !== undefined
      ? { cost: (time.totalSeconds / 3600) * worldSize * pricePerGpuHour }
      : {}),
  };
}

/** The last step of an epoch may be short. */
function samplesRead(plan: SamplePlan, steps: number): number {
  const perEpoch = stepsPerEpoch(plan);
  const globalBatch = plan.slots * plan.microBatch * plan.accumulation;
  const whole = Math.floor(steps / perEpoch);
  return whole * plan.datasetSize + (steps - whole * perEpoch) * globalBatch;
}

/** At the start, every `evalSteps` steps, and at the end. */
function evaluationCount(steps: number, evalSteps: number): number {
  return 1 + (evalSteps === 0 ? 1 : Math.ceil(steps / evalSteps));
}

/** Every slot's gradient goes in, every worker takes the sum out. */
function planAllReduce(shape: RunShape, slots: number, basis: PlanBasis): AllReducePlan | undefined {
  if (basis.trainableElements === undefined) return undefined;
  const gradientBytes = floatBytes * basis.trainableElements;
  const inBytes = slots * gradientBytes;
  const outBytes = shape.nodes * shape.gpus * gradientBytes;
  const seconds = shape.nodes === 1 ? 0 : ((inBytes + outBytes) * 8) / (basis.networkGbps * 1e9);
  return { gradientBytes, inBytes, outBytes, seconds };
}

function planCheckpoints(
  { saveSteps, saveTotalLimit }: RunShape,
  steps: number,
  { checkpointExtraBytes = 0, trainableElements }: PlanBasis,
): CheckpointPlan | undefined {
  if (trainableElements === undefined) return undefined;
  const count = saveSteps === 0 ? 1 : Math.ceil(steps / saveSteps);
  const kept = saveTotalLimit === 0 ? count : Math.min(count, saveTotalLimit);
  // The adapter, and two moments of the optimizer.
  const bytesEach = 3 * floatBytes * trainableElements + checkpointExtraBytes + checkpointOverheadBytes;
  return { count, kept, bytesEach, bytesAtOnce: Math.min(count, kept + 1) * bytesEach };
}

function planTime(
  shape: RunShape,
  run: { readonly slots: number; readonly steps: number; readonly evaluations: number },
  allReduce: AllReducePlan | undefined,
  basis: PlanBasis,
): TimePlan | undefined {
  const { evaluationSize, overheadSeconds = 0, slotSeconds } = basis;
  if (slotSeconds === undefined) return undefined;
  const slotsPerWorker = Math.ceil(run.slots / (shape.nodes * shape.gpus));
  const computeSeconds = slotsPerWorker * slotSeconds;
  const allReduceSeconds = allReduce?.seconds ?? 0;
  const sampleSeconds = slotSeconds / (shape.microBatch * shape.accumulation);
  const evaluationSeconds =
    run.evaluations * Math.ceil(evaluationSize / run.slots) * slotsPerWorker * sampleSeconds * forwardShare;
  const stepSeconds = computeSeconds + allReduceSeconds + overheadSeconds;
  return {
    computeSeconds,
    allReduceSeconds,
    overheadSeconds,
    stepSeconds,
    evaluationSeconds,
    totalSeconds: run.steps * stepSeconds + evaluationSeconds,
  };
}
