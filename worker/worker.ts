import { availableParallelism, hostname } from "node:os";
import { backoffDelayMs, retry } from "../shared/backoff.ts";
import { systemClock } from "../shared/clock.ts";
import { type RunConfig, runConfigSchema } from "../shared/config/schema.ts";
import { assertNever, CoordError, toCoordError } from "../shared/errors.ts";
import { failpoint } from "../shared/failpoint.ts";
import { type JoinResponse, LeaveReason, StateSource, WorkerPhase } from "../shared/gen/coord/v1/membership_pb.ts";
import type { Logger } from "../shared/log.ts";
import type { Endpoint } from "../shared/rpc/client.ts";
import { type Caller, CoordinatorClient, type Epoch } from "./collective/coordinatorClient.ts";
import { createEngine } from "./engine/createEngine.ts";
import type { Engine } from "./engine/engine.ts";
import { Heartbeat } from "./heartbeat.ts";
import { arrange } from "./train/arrange.ts";
import { HeldState, initialState } from "./train/heldState.ts";
import { Trainer } from "./train/trainer.ts";

export interface WorkerOptions {
  readonly endpoint: Endpoint;
  readonly caller: Caller;
  readonly nodeRank: number;
  readonly localRank: number;
  /** Which start of this place this process is. */
  readonly attempt: number;
  /** Milliseconds without a coordinator after which the worker ends itself. */
  readonly reconnectBudgetMs: number;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** Runs one worker until training is over. Throws a CoordError when it cannot go on. */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const worker = new Worker(options);
  try {
    await worker.run();
  } finally {
    await worker.dispose();
  }
}

class Worker {
  readonly #options: WorkerOptions;
  readonly #client: CoordinatorClient;
  readonly #held = new HeldState();
  readonly #heartbeat: Heartbeat;
  #loaded:
    | {
        readonly configJson: string;
        readonly maxSteps: bigint;
        readonly config: RunConfig;
        readonly engine: Engine;
        readonly trainer: Trainer;
      }
    | undefined;
  #finished = false;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#client = new CoordinatorClient(options.endpoint, options.caller);
    this.#heartbeat = new Heartbeat(options.endpoint, options.caller, options.logger);
  }

  async run(): Promise<void> {
    const { signal, reconnectBudgetMs, logger } = this.#options;
    let lastContact = systemClock.monotonicMs();
    this.#heartbeat.start();
    for (let attempt = 0; !this.#finished; attempt++) {
      signal.throwIfAborted();
      try {
        await this.#client.reach(signal);
        for await (const assignment of this.#assignments()) {
          attempt = 0;
          if (assignment.kind === "superseded") continue;
          try {
            await this.#serve(assignment.response, assignment.signal);
          } catch (thrown) {
            const error = toCoordError(thrown);
            // Now, while it is still a member: what a stranger says is not believed.
            if (!signal.aborted && !isTransient(error)) await this.#giveUp(error);
            throw error;
          } finally {
            // A generation may have lasted for hours, and it was contact whichever way it ended.
            lastContact = systemClock.monotonicMs();
          }
          if (this.#finished) break;
        }
      } catch (thrown) {
        signal.throwIfAborted();
        const error = toCoordError(thrown);
        if (!isTransient(error)) throw error;
        const silentMs = systemClock.monotonicMs() - Math.max(lastContact, this.#heartbeat.answeredAtMs);
        if (silentMs > reconnectBudgetMs) {
          throw new CoordError(
            "COORDINATOR_UNREACHABLE",
            `The coordinator has not answered for ${Math.round(silentMs / 1000)} s; this worker ends.`,
            { cause: error },
          );
        }
        logger.warn({ reason: error.message, attempt }, "lost the coordinator; joining again");
        if (error.code === "COORDINATOR_UNREACHABLE") {
          this.#client.renew();
          this.#heartbeat.renew();
        }
      }
      if (!this.#finished) await systemClock.sleep(backoffDelayMs(attempt, Math.random()), signal);
    }
  }

  async dispose(): Promise<void> {
    this.#heartbeat.close();
    this.#client.close();
    await this.#loaded?.engine.dispose();
  }

  /**
   * The coordinator's assignments; the signal of each is aborted when the next one comes or the stream ends. Only the
   * newest is worth serving, so one that was overtaken while its predecessor was being served is marked so.
   */
  async *#assignments() {
    const { attempt, caller, nodeRank, localRank, signal } = this.#options;
    const state = this.#held.committed;
    const request = {
      member: caller,
      nodeRank,
      localRank,
      pid: process.pid,
      host: hostname(),
      hasState: state !== undefined,
      step: BigInt(state?.step ?? 0),
      pendingStep: BigInt(this.#held.pendingStep),
      attempt,
      facts: { engine: this.#loaded?.engine.description ?? "", processors: String(availableParallelism()) },
    };
    const hangUp = new AbortController();
    const joined = this.#client.membership.join(request, { signal: AbortSignal.any([signal, hangUp.signal]) });
    const stream = joined[Symbol.asyncIterator]();
    let controller = new AbortController();
    const nextOne = () => {
      const next = stream.next();
      const overtaken = () => controller.abort(new CoordError("STALE_GENERATION", "A new assignment has come."));
      next.then(overtaken, overtaken);
      return next;
    };
    try {
      let next = nextOne();
      for (;;) {
        const { value, done } = await next;
        if (done) {
          if (this.#finished) return;
          throw new CoordError("COORDINATOR_UNREACHABLE", "The coordinator closed the connection.");
        }
        controller = new AbortController();
        next = nextOne();
        const response: JoinResponse = value;
        yield controller.signal.aborted
          ? { kind: "superseded" as const }
          : { kind: "current" as const, response, signal: AbortSignal.any([signal, controller.signal]) };
      }
    } finally {
      const left = new CoordError("STALE_GENERATION", "This worker has left the membership.");
      controller.abort(left);
      // Not stream.return(): it would wait for a response that never comes.
      hangUp.abort(left);
    }
  }

  /** Does what one assignment asks; returns when it is overtaken or training is over. */
  async #serve(assignment: JoinResponse, signal: AbortSignal): Promise<void> {
    const { logger } = this.#options;
    const { generation, rank, slots, worldSize } = assignment;
    const { groupSize, slots: slotCount } = assignment.plan!;
    const epoch = { generation, signal, slots, rank, worldSize, slotCount, groupSize };
    logger.info(
      {
        generation: String(epoch.generation),
        rank: assignment.rank,
        slots: epoch.slots,
        step: Number(assignment.step),
      },
      "assigned",
    );
    try {
      this.#heartbeat.generation = assignment.generation;
      const { trainer } = await this.#load(assignment);
      await this.#adoptState(assignment, epoch);
      let directive: Directive = assignment;
      for (;;) {
        const handOver = directive.uploadState ? this.#handOver(epoch) : undefined;
        if (directive.evaluate) await trainer.evaluate(epoch);
        if (directive.finish) {
          this.#heartbeat.phase = WorkerPhase.SAVING;
          await handOver;
          return await this.#finish(assignment.generation);
        }
        directive = await trainer.trainStep(epoch, handOver);
        this.#heartbeat.step = this.#held.committed!.step;
      }
    } catch (thrown) {
      if (!signal.aborted && toCoordError(thrown).code !== "STALE_GENERATION") throw thrown;
      this.#options.signal.throwIfAborted();
      this.#heartbeat.phase = WorkerPhase.WAITING;
      logger.info({ reason: toCoordError(thrown).message }, "the generation is over");
    }
  }

  /**
   * Hands the committed state to the coordinator while the next step is computed. No copy is taken: nothing writes to
   * these vectors before the step after the next, and no step is voted for before the state has arrived.
   */
  #handOver(epoch: Epoch): Promise<void> {
    const state = this.#held.committed!;
    failpoint("state-uploading", state.step, this.#options.caller.workerId);
    const handedOver = this.#client.putState(state, epoch);
    // Told to whoever waits for it; the generation may be over before anybody does.
    handedOver.catch(() => {});
    return handedOver;
  }

  /** Loads the model, the first time or when a new coordinator comes with other settings. */
  async #load(assignment: JoinResponse) {
    const plan = assignment.plan!;
    if (this.#loaded?.configJson === plan.configJson && this.#loaded.maxSteps === plan.maxSteps) return this.#loaded;
    await this.#loaded?.engine.dispose();
    this.#loaded = undefined;
    const config = runConfigSchema.parse(JSON.parse(plan.configJson));
    this.#heartbeat.phase = WorkerPhase.LOADING;
    const engine = await createEngine(config, {
      modelDirectory: config.model!,
      threads: config.threadsPerWorker,
      onNote: (line) => this.#options.logger.info(line),
    });
    this.#options.logger.info({ engine: engine.description, parameters: engine.layout.elements }, "loaded");
    const trainer = new Trainer({
      engine,
      client: this.#client,
      held: this.#held,
      config,
      slots: plan.slots,
      datasetSize: Number(plan.datasetSize),
      evaluationSize: Number(plan.evaluationSize),
      maxSteps: Number(plan.maxSteps),
      onPhase: (phase) => {
        this.#heartbeat.phase = phase;
      },
    });
    this.#loaded = { configJson: plan.configJson, maxSteps: plan.maxSteps, config, engine, trainer };
    return this.#loaded;
  }

  async #adoptState(assignment: JoinResponse, epoch: Epoch): Promise<void> {
    const { config, engine } = this.#loaded!;
    const step = Number(assignment.step);
    switch (assignment.stateSource) {
      case StateSource.INITIALIZE:
        this.#held.replace(initialState(engine.layout, await engine.initialParameters(config.seed)));
        break;
      case StateSource.KEEP:
        this.#held.settle(step);
        break;
      case StateSource.DOWNLOAD:
        this.#held.replace(arrange(await this.#client.getState(epoch), engine.layout));
        break;
      case StateSource.UNSPECIFIED:
        throw new CoordError("INVALID_REQUEST", "An assignment came without a source for the state.");
      default:
        assertNever(assignment.stateSource);
    }
    await engine.setParameters(this.#held.committed!.parameters);
  }

  async #finish(generation: bigint): Promise<void> {
    const { logger, signal } = this.#options;
    await retry(
      () => this.#client.membership.leave({ member: this.#client.caller, generation, reason: LeaveReason.FINISHED }),
      { budgetMs: 5000, clock: systemClock, signal },
    );
    this.#finished = true;
    logger.info("training is over");
  }

  /** Tells the coordinator why, so that it need not guess from an exit code. */
  async #giveUp(error: CoordError): Promise<void> {
    const { caller } = this.#options;
    await this.#client.membership
      .leave(
        { member: caller, reason: LeaveReason.FAILED, errorCode: error.code, message: error.message },
        { timeoutMs: 2000 },
      )
      .catch(() => {});
  }
}

/** Whether joining again may help. */
function isTransient({ code }: CoordError): boolean {
  return code === "COORDINATOR_UNREACHABLE" || code === "STALE_GENERATION" || code === "DAMAGED";
}

interface Directive {
  readonly evaluate: boolean;
  readonly uploadState: boolean;
  readonly finish: boolean;
}
