import { systemClock } from "../../shared/clock.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { evaluationSamples, type SamplePlan, slotPlaces } from "../../shared/dataset/plan.ts";
import { CoordError } from "../../shared/errors.ts";
import { type Failpoint, failpoint, faultInjected, injectedDelayMs } from "../../shared/failpoint.ts";
import { Split } from "../../shared/gen/coord/v1/data_pb.ts";
import { WorkerPhase } from "../../shared/gen/coord/v1/membership_pb.ts";
import { bytesOfFloat32 } from "../../shared/tensors/bytes.ts";
import { digest64 } from "../../shared/tensors/digest.ts";
import type { CoordinatorClient } from "../collective/coordinatorClient.ts";
import type { Share, SlotGradient } from "../collective/reduction.ts";
import type { Engine } from "../engine/engine.ts";
import { collate, type Sample } from "./collate.ts";
import { firstNotFinite } from "./firstNotFinite.ts";
import { copyVectors, type HeldState } from "./heldState.ts";
import { adamWStep, clipFactor, l2Norm } from "./optimizer.ts";
import { learningRateAt } from "./schedule.ts";

export interface TrainerOptions {
  readonly engine: Engine;
  readonly client: CoordinatorClient;
  readonly held: HeldState;
  readonly config: RunConfig;
  readonly slots: number;
  readonly datasetSize: number;
  readonly evaluationSize: number;
  readonly maxSteps: number;
  onPhase(phase: WorkerPhase): void;
}

/** Takes optimizer steps and measures the held-out loss, for the slots of one worker. */
export class Trainer {
  readonly #options: TrainerOptions;
  readonly #plan: SamplePlan;
  #ahead: { key: string; samples: Promise<Sample[][]> } | undefined;

  constructor(options: TrainerOptions) {
    this.#options = options;
    const { config } = options;
    options.client.useDataPlane(config.dataPlane, config.gradCompression === "bf16" ? "bfloat16" : "float32");
    this.#plan = {
      seed: config.seed,
      datasetSize: options.datasetSize,
      slots: options.slots,
      microBatch: config.perDeviceTrainBatchSize,
      accumulation: config.gradientAccumulationSteps,
    };
  }

  /**
   * Computes the gradients of this worker's slots, exchanges them, updates, and votes. On return the step is committed;
   * on any error the state is that before the step, with the update perhaps pending. The vote waits for `handOver`, on
   * which the state before the step travels: until it has arrived, every member must be able to hand it over again.
   */
  async trainStep(share: Share, handOver?: Promise<void>) {
    const { client, config, engine, held, maxSteps, onPhase } = this.#options;
    const state = held.settle(held.committed?.step ?? 0);
    const step = state.step + 1;
    const spans: { name: string; durationMs: number }[] = [];
    const times = { dataMs: 0, computeMs: 0, reduceMs: 0, updateMs: 0, spans };
    const watch = stopwatch();
    const lap = (part: "dataMs" | "computeMs" | "reduceMs" | "updateMs", name: string) => {
      const durationMs = watch();
      times[part] += durationMs;
      spans.push({ name, durationMs });
    };

    const at = (point: Failpoint) => failpoint(point, step, client.caller.workerId);

    at("step-begun");
    const delayMs = injectedDelayMs(client.caller.workerId);
    if (delayMs > 0) await systemClock.sleep(delayMs, share.signal);
    onPhase(WorkerPhase.COMPUTING);
    const reduction = client.allReduce(step, share, engine.layout.elements);
    const uploads: Promise<void>[] = [];
    for (const slot of share.slots) {
      const microBatches = await this.#samples(step, slot, share);
      lap("dataMs", `data slot ${slot}`);
      const part = await this.#slotGradient(step, slot, reduction.gradient(), microBatches, share.signal);
      lap("computeMs", `compute slot ${slot}`);
      at("gradient-computed");
      // Uploading goes on while the next slot is computed; one at a time, so that at most two gradients are held.
      await uploads.at(-1);
      const upload = reduction.add(part);
      upload.catch(() => {});
      uploads.push(upload);
    }
    this.#readAhead(step + 1, share);
    onPhase(WorkerPhase.REDUCING);
    await Promise.all(uploads);
    lap("reduceMs", "upload");
    at("gradient-uploaded");
    const sum = await reduction.sum();
    at("sum-downloaded");
    lap("reduceMs", "reduce");

    const norm = l2Norm(sum.gradient, 1 / sum.loss.tokens);
    const skipped = !Number.isFinite(norm);
    if (skipped && config.onNan === "stop") {
      // The coordinator must have heard whose gradient it was, or all that is known of the failure is who stumbled first.
      await sum.confirmed;
      throw new CoordError(
        "NOT_FINITE",
        `The gradient of step ${step} is not finite (norm ${norm}). Lower --learning-rate, look at the samples of that step, or go on without it (--on-nan skip).`,
      );
    }
    const next = held.prepare();
    const learningRate = learningRateAt(config, step, maxSteps);
    if (skipped) copyVectors(state, next);
    else {
      adamWStep(state, next, sum.gradient, clipFactor(norm, config.maxGradNorm) / sum.loss.tokens, {
        learningRate,
        beta1: config.adamBeta1,
        beta2: config.adamBeta2,
        epsilon: config.adamEpsilon,
        weightDecay: config.weightDecay,
        startStep: config.adamStartStep,
      });
    }
    if (faultInjected("parameters-differ", step, client.caller.workerId)) next.parameters[0]! += 1;
    lap("updateMs", "update");
    at("update-computed");
    if (handOver) {
      onPhase(WorkerPhase.SAVING);
      await handOver;
      lap("updateMs", "hand over the state");
    }
    await sum.confirmed;
    const vote = {
      member: client.caller,
      generation: share.generation,
      step: BigInt(step),
      // Without a hash all votes are the same: it was not asked for at this step.
      parametersDigest: step % config.hashEvery === 0 ? digest64(bytesOfFloat32(next.parameters)) : 0n,
      learningRate,
      gradientNorm: skipped ? 0 : norm,
      skipped,
      times,
    };
    const directive = await client.commitStep(vote, share.signal);
    at("step-committed");
    held.commit();
    await engine.setParameters(next.parameters);
    return directive;
  }

  /** Computes and reports the held-out loss of this worker's slots at the committed step. */
  async evaluate(share: Share): Promise<void> {
    const { client, config, engine, evaluationSize, held, onPhase, slots } = this.#options;
    onPhase(WorkerPhase.EVALUATING);
    const step = held.committed!.step;
    failpoint("evaluation-begun", step, client.caller.workerId);
    const reports = [];
    for (const slot of share.slots) {
      let sum = 0;
      let tokens = 0;
      for (const indices of evaluationSamples(evaluationSize, slots, slot, config.perDeviceEvalBatchSize)) {
        share.signal.throwIfAborted();
        const loss = await engine.evaluate(
          collate(await client.samples({ split: Split.EVALUATION, epoch: 0 }, indices, share.signal)),
        );
        sum += loss.sum;
        tokens += loss.tokens;
      }
      const report = client.evaluateSlot(step, slot, { sum, tokens }, share);
      report.catch(() => {});
      reports.push(report);
    }
    await Promise.all(reports);
  }

  async #slotGradient(
    step: number,
    slot: number,
    gradient: Float32Array,
    microBatches: readonly Sample[][],
    signal: AbortSignal,
  ): Promise<SlotGradient> {
    const { config, engine } = this.#options;
    let sum = 0;
    let tokens = 0;
    let inputTokens = 0;
    let module: string | undefined;
    for (const [microBatch, samples] of microBatches.entries()) {
      signal.throwIfAborted();
      const dropout = config.loraDropout > 0 ? { dropout: { seed: config.seed, step, slot, microBatch } } : {};
      const batch = collate(samples);
      const loss = await engine.forwardBackward(batch, gradient, dropout);
      if (!Number.isFinite(loss.sum)) module ??= await engine.firstNotFinite(batch);
      sum += loss.sum;
      tokens += loss.tokens;
      inputTokens += samples.reduce((total, sample) => total + sample.inputIds.length, 0);
    }
    if (faultInjected("gradient-nan", step, this.#options.client.caller.workerId)) gradient.fill(Number.NaN, -1);
    const notFinite = module ?? firstNotFinite(gradient, engine.layout) ?? (Number.isFinite(sum) ? undefined : "loss");
    if (notFinite === undefined) return { slot, gradient, loss: { sum, tokens }, inputTokens };
    // So that whoever gets the sum sees it, even if only the loss was wrong; losses of other slots stay usable.
    gradient[0] = Number.NaN;
    return { slot, gradient, loss: { sum: 0, tokens: 0 }, inputTokens, notFinite };
  }

  /** The micro-batches of a slot, from what was read ahead where possible. */
  async #samples(step: number, slot: number, share: Share): Promise<Sample[][]> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    if (ahead?.key === `${share.generation}/${step}/${slot}`) return ahead.samples;
    return this.#load(step, slot, share.signal);
  }

  /** Starts to fetch the first samples of a step while the one before it is being exchanged. */
  #readAhead(step: number, share: Share): void {
    const slot = share.slots[0];
    if (slot === undefined || step > this.#options.maxSteps) return;
    const samples = this.#load(step, slot, share.signal);
    samples.catch(() => {});
    this.#ahead = { key: `${share.generation}/${step}/${slot}`, samples };
  }

  async #load(step: number, slot: number, signal: AbortSignal): Promise<Sample[][]> {
    const { epoch, microBatches } = slotPlaces(this.#plan, step, slot);
    const samples = await this.#options.client.samples({ split: Split.TRAIN, epoch }, microBatches.flat(), signal);
    // All micro-batches of a slot but the last are full.
    const size = microBatches[0]?.length ?? 0;
    return microBatches.map((indices, index) => samples.slice(index * size, index * size + indices.length));
  }
}

/** Milliseconds since the call before. */
function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const elapsed = now - last;
    last = now;
    return elapsed;
  };
}
