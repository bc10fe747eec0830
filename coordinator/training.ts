import type { CheckpointStore } from "../shared/checkpoint/store.ts";
import type { TrainerState } from "../shared/checkpoint/trainerState.ts";
import type { TrainingState } from "../shared/checkpoint/trainingState.ts";
import type { Clock } from "../shared/clock.ts";
import { elasticityOf } from "../shared/config/elasticity.ts";
import { gpusOfAllNodes, gpusOfNodes, worldSizeOf } from "../shared/config/hosts.ts";
import type { RunConfig } from "../shared/config/schema.ts";
import { epochAt } from "../shared/dataset/plan.ts";
import { Deferred, unlessAborted } from "../shared/deferred.ts";
import { CoordError } from "../shared/errors.ts";
import { failpoint } from "../shared/failpoint.ts";
import { CheckpointService } from "../shared/gen/coord/v1/checkpoint_pb.ts";
import { CollectiveService } from "../shared/gen/coord/v1/collective_pb.ts";
import { DataService } from "../shared/gen/coord/v1/data_pb.ts";
import { type CommitStepRequest, MembershipService } from "../shared/gen/coord/v1/membership_pb.ts";
import { RunState } from "../shared/gen/coord/v1/run_pb.ts";
import type { CheckpointWriter } from "./checkpoint/checkpointWriter.ts";
import { earlyStoppingRule } from "./checkpoint/earlyStopping.ts";
import { movePassedOver } from "./checkpoint/movePassedOver.ts";
import { StateExchange } from "./checkpoint/stateExchange.ts";
import { TrainingLog } from "./checkpoint/trainingLog.ts";
import { Collective } from "./collective/collectiveService.ts";
import type { SharedRegions } from "./collective/sharedRegions.ts";
import { dataHandlers } from "./dataset/dataService.ts";
import type { TrainingData } from "./dataset/trainingData.ts";
import type { AgentPool } from "./launch/agentPool.ts";
import type { Dues, Generation } from "./membership/generation.ts";
import { membershipHandlers } from "./membership/membershipService.ts";
import { type SizeLimits, TrainingSession } from "./membership/trainingSession.ts";
import type { EventLog } from "./observe/eventLog.ts";
import type { RunMonitor } from "./observe/runMonitor.ts";
import { type StepFigures, StepMeter } from "./observe/stepMeter.ts";
import type { CoordinatorServer } from "./server.ts";

/** Where training starts from. */
export interface StartingPoint {
  readonly step: number;
  /** Absent when workers make it from the seed. */
  readonly state?: TrainingState;
  readonly trainerState: TrainerState;
}

export interface TrainingOptions {
  readonly runId: string;
  readonly config: RunConfig;
  readonly groupSize: number;
  readonly data: TrainingData;
  readonly start: StartingPoint;
  readonly store: CheckpointStore;
  readonly writer: CheckpointWriter;
  readonly clock: Clock;
  readonly server: CoordinatorServer;
  readonly monitor: RunMonitor;
  readonly events: EventLog;
  readonly agents: AgentPool;
  /** Shared memory for gradients of this host's workers. */
  readonly regions?: SharedRegions | undefined;
  /** True when workers of an earlier coordinator may still be there, further than the starting point. */
  readonly adopt: boolean;
  /** Figures of steps that earlier coordinators have committed, by step. */
  readonly recorded: readonly StepFigures[];
  /** Their held-out losses, likewise. */
  readonly recordedEvaluations: readonly { readonly step: number; readonly loss: number }[];
  /** By what name each tracker knows this run, under its callback's name in HuggingFace's Trainer. */
  readonly trackers: ReadonlyMap<string, Readonly<Record<string, string>>>;
  nextGeneration(): bigint;
}

/** One training run from its first generation to its last checkpoint. */
export class Training {
  readonly session: TrainingSession;
  readonly log: TrainingLog;
  readonly failed = new Deferred<never>();
  readonly #options: TrainingOptions;
  readonly #exchange: StateExchange;
  readonly #collective: Collective;
  readonly #meter: StepMeter;
  /** May change while training goes on. */
  saveSteps: number;
  /** Why a step is going to be skipped. */
  readonly #notFiniteReasons = new Map<number, string>();
  #stopping = false;
  #lastState: TrainingState | undefined;

  constructor(options: TrainingOptions) {
    this.#options = options;
    const { config, data, runId, start } = options;
    const { maxSteps, plan, tokens } = data;
    const { slots } = plan;
    this.saveSteps = config.saveSteps;
    this.log = new TrainingLog(start.trainerState, config.loggingSteps, earlyStoppingRule(config));
    for (const [callback, attributes] of options.trackers) this.log.tracked(callback, attributes);
    this.#meter = new StepMeter(maxSteps, start.trainerState.num_input_tokens_seen);
    this.#lastState = start.state;
    this.session = new TrainingSession({
      runId,
      nodes: config.nodes,
      gpus: Math.max(...gpusOfNodes(config)),
      worldSize: worldSizeOf(config),
      plan: {
        configJson: JSON.stringify(config),
        slots,
        groupSize: options.groupSize,
        datasetSize: BigInt(plan.datasetSize),
        evaluationSize: BigInt(tokens.evaluationSize),
        maxSteps: BigInt(maxSteps),
        datasetKey: data.key,
      },
      clock: options.clock,
      heartbeatTimeoutMs: config.heartbeatTimeoutMs,
      elasticity: sizeLimits(config),
      start: { step: start.step, seedable: start.state === undefined, adopt: options.adopt },
      nextGeneration: options.nextGeneration,
      events: {
        duesAt: (step) => this.#duesAt(step),
        onCommit: (step, votes) => this.#committed(step, votes),
        onAdopted: (step) => this.#adopted(step),
        onGeneration: ({ number, members }, reason) => {
          options.events.add("membership", reason, { generation: Number(number), members: members.length });
          this.#meter.mark(options.clock.monotonicMs());
          // What is not freed now is freed with the next generation, or at the end.
          void options.regions?.keepOnly(number).catch(() => {});
          if (!this.#stopping) options.monitor.enter(RunState.TRAINING, `Training on ${members.length} workers.`);
        },
        onMemberLost: (member, loss, reason) => {
          const message = `Worker ${member.workerId} (pid ${member.pid} on ${member.host}) is out: ${reason}.`;
          options.events.add("worker", message, { workerId: member.workerId, pid: member.pid });
          // It may hang for ever: only its agent can end it.
          if (loss === "silent" || loss === "diverged") options.agents.replace(member.nodeRank, member.localRank);
        },
        onWaiting: (reason) => {
          if (!this.#stopping) options.monitor.enter(RunState.FORMING, reason);
        },
        onFailure: (error) => this.failed.reject(error),
        onStateLost: (reason) => this.#rewind(reason),
        holdsState: (step) => this.#exchange.holds(step),
      },
    });
    const session = () => this.session;
    this.#exchange = new StateExchange(session, (state, generation, signal) =>
      this.#uploaded(state, generation, signal),
    );
    if (start.state) this.#exchange.hold(start.state);
    this.#collective = new Collective(session, {
      slots,
      groupSize: options.groupSize,
      format: config.gradCompression === "bf16" ? "bfloat16" : "float32",
      regions: options.regions,
      onNotFinite: (step, sentence) => this.#notFinite(step, sentence),
      onEvaluation: (step, { sum, tokens }) => this.#evaluated(step, sum / tokens),
    });
    options.monitor.session = this.session;
    options.server.add(
      MembershipService,
      membershipHandlers(
        this.session,
        (error) => this.failed.reject(error),
        () => options.monitor.logLevel,
      ),
    );
    options.server.add(CollectiveService, this.#collective.handlers);
    options.server.add(CheckpointService, this.#exchange.handlers);
    options.server.add(DataService, dataHandlers(session, data));
  }

  /** The state that the last checkpoint was written from. */
  get lastState(): TrainingState | undefined {
    return this.#lastState;
  }

  /** Asks for a checkpoint and the end, after the step in work. */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#options.monitor.enter(RunState.STOPPING, "Stopping after a checkpoint, as the user asked.");
    this.session.requestStop();
  }

  /** Waits for the last checkpoint; throws what kept it from being written. */
  async settle(): Promise<void> {
    await this.#options.writer.settled();
    await Promise.race([this.failed.promise, Promise.resolve()]);
  }

  #committed(step: number, votes: readonly CommitStepRequest[]) {
    const { clock, data, events, monitor } = this.#options;
    const { maxSteps, plan } = data;
    const round = this.#collective.takeResult(step);
    const mean = (pick: (vote: CommitStepRequest) => number) =>
      votes.reduce((total, vote) => total + pick(vote), 0) / votes.length;
    const figures = {
      step,
      // A step that is skipped may have no loss that could be told.
      loss: round.loss.tokens > 0 ? round.loss.sum / round.loss.tokens : (monitor.metrics?.loss ?? 0),
      learningRate: votes[0]!.learningRate,
      gradientNorm: votes[0]!.gradientNorm,
      epoch: epochAt(plan, step),
      computeMs: mean((vote) => vote.times?.computeMs ?? 0),
      reduceMs: mean((vote) => vote.times?.reduceMs ?? 0),
      ...this.#meter.commit(step, clock.monotonicMs(), round.inputTokens),
    };
    if (votes[0]!.skipped) {
      const why = this.#notFiniteReasons.get(step) ?? "The sum of the gradients is NaN or infinite.";
      events.add("warning", `Step ${step} is skipped: it changes nothing. ${why}`, { step });
    }
    this.#notFiniteReasons.clear();
    this.#options.agents.history.progressed();
    monitor.metrics = figures;
    monitor.timings.commit(step, this.session.generation!.members, votes);
    this.log.step(figures);
    events.add("step", `Step ${step} of ${maxSteps}: loss ${figures.loss.toFixed(4)}.`, { ...figures });
  }

  #notFinite(step: number, sentence: string): void {
    if (this.#options.config.onNan === "skip") {
      this.#notFiniteReasons.set(step, this.#notFiniteReasons.get(step) ?? sentence);
      return;
    }
    const advice = "Lower --learning-rate, look at the samples of that step, or go on without it (--on-nan skip).";
    this.failed.reject(new CoordError("NOT_FINITE", `${sentence} ${advice}`));
  }

  #duesAt(step: number): Dues {
    const { config, data } = this.#options;
    const { maxSteps, tokens } = data;
    const finish = step >= maxSteps;
    const every = (steps: number) => steps > 0 && step % steps === 0;
    return {
      save: finish || (every(this.saveSteps) && this.#mayBeSaved(step)),
      evaluate: tokens.evaluationSize > 0 && (finish || step === 0 || every(config.evalSteps)),
      finish,
    };
  }

  /** Whether there is room for another checkpoint, by --on-save-busy. */
  #mayBeSaved(step: number): boolean {
    const { config, events, writer } = this.#options;
    if (config.onSaveBusy === "wait" || !writer.busy) return true;
    events.add("warning", `Step ${step} is not saved: an earlier checkpoint is still being written.`, { step });
    return false;
  }

  /** Steps that an earlier coordinator has committed since the checkpoint: their figures are in its metrics file. */
  #adopted(step: number): void {
    const { data, events, recorded, recordedEvaluations, start } = this.#options;
    const replayEvaluation = (at: number) => {
      const found = recordedEvaluations.find((evaluation) => evaluation.step === at);
      // What is due at the step itself is measured again.
      if (found && at < step) this.log.evaluation(found.loss, epochAt(data.plan, at), at);
    };
    replayEvaluation(start.step);
    for (const figures of recorded) {
      if (figures.step <= start.step || figures.step > step) continue;
      this.log.step(figures);
      replayEvaluation(figures.step);
    }
    this.#meter.count(this.log.current.num_input_tokens_seen);
    events.add("membership", `The workers are at step ${step}: training goes on from there.`, { step });
  }

  #evaluated(step: number, loss: number): void {
    const { data, events } = this.#options;
    this.log.evaluation(loss, epochAt(data.plan, step), step);
    events.add("evaluation", `Held-out loss at step ${step}: ${loss.toFixed(4)}.`, { step, loss });
    const { stopReason } = this.log;
    if (stopReason === undefined || step >= data.maxSteps) return;
    events.add("state", `${stopReason} Training ends at step ${step}.`, { step });
    this.session.finishHere();
  }

  /**
   * Has the state written if that is due, while training goes on. One state is being written and one is waiting, never
   * more: the member that has uploaded another one hears nothing, and so does not vote, until the one before is on disk.
   */
  async #uploaded(state: TrainingState, { controller, number }: Generation, signal: AbortSignal): Promise<void> {
    // The held-out loss of the same step belongs into the checkpoint.
    while (this.session.evaluateDue) await unlessAborted(this.session.evaluation, controller.signal, signal);
    if (!this.session.saveDue) return;
    failpoint("checkpoint-due", state.step, "coordinator");
    this.session.saved();
    this.#lastState = state;
    const { writer } = this.#options;
    const before = writer.idle();
    writer.save(state, number, this.log.current).catch((thrown: unknown) => this.failed.reject(thrown));
    await unlessAborted(before, controller.signal, signal);
  }

  /** All workers were lost at once: training goes back to the newest checkpoint, or to the start. */
  async #rewind(reason: string): Promise<number> {
    const { events, start, store, writer } = this.#options;
    await writer.idle();
    const newest = await store.newestValid();
    const state = newest?.checkpoint.state ?? start.state;
    const step = state?.step ?? start.step;
    if (state) this.#exchange.hold(state);
    this.log.rewind(newest?.checkpoint.trainerState ?? start.trainerState);
    const aside = newest ? await movePassedOver(store, newest.passedOver) : "";
    events.add("warning", `${reason} Training goes back to step ${step}.${aside}`, { step });
    return step;
  }
}

function sizeLimits(config: RunConfig): SizeLimits | undefined {
  const bounds = elasticityOf(config);
  if (!bounds) return undefined;
  const minSize = gpusOfAllNodes(config)
    .slice(0, bounds.minNodes)
    .reduce((sum, gpus) => sum + gpus, 0);
  return { ...bounds, minSize };
}
