import { adapterConfigOf } from "../shared/checkpoint/adapterConfig.ts";
import { bestCheckpoint } from "../shared/checkpoint/bestCheckpoint.ts";
import { adapterFiles, exportAdapter } from "../shared/checkpoint/exportAdapter.ts";
import { isS3 } from "../shared/checkpoint/location.ts";
import type { CheckpointStore } from "../shared/checkpoint/store.ts";
import type { TrainingState } from "../shared/checkpoint/trainingState.ts";
import { type Clock, systemClock } from "../shared/clock.ts";
import { gpusOfNodes, worldSizeOf } from "../shared/config/hosts.ts";
import type { RunConfig } from "../shared/config/schema.ts";
import type { SamplePlan } from "../shared/dataset/plan.ts";
import { Deferred, unlessAborted } from "../shared/deferred.ts";
import { CoordError, exitCodes, toCoordError } from "../shared/errors.ts";
import { AgentService } from "../shared/gen/coord/v1/agent_pb.ts";
import { RunService, RunState } from "../shared/gen/coord/v1/run_pb.ts";
import type { Logger } from "../shared/log.ts";
import type { RunPaths } from "../shared/runPaths.ts";
import { sharedMemoryDirectory } from "../shared/runPaths.ts";
import { CheckpointWriter } from "./checkpoint/checkpointWriter.ts";
import { type Fingerprints, fingerprintsOf } from "./checkpoint/fingerprints.ts";
import { tokenizerFilesOf } from "./checkpoint/tokenizerFiles.ts";
import { openRegions, type SharedRegions } from "./collective/sharedRegions.ts";
import { describePreparing } from "./dataset/describePreparing.ts";
import { prepareDataset } from "./dataset/prepareDataset.ts";
import { openTrainingData } from "./dataset/trainingData.ts";
import type { GenerationFile } from "./generationFile.ts";
import { RunAgents } from "./launch/runAgents.ts";
import type { EventLog } from "./observe/eventLog.ts";
import { trackersOf } from "./observe/followTrackers.ts";
import { readEvaluations, readStepFigures } from "./observe/readMetrics.ts";
import { type LiveSettings, RunMonitor } from "./observe/runMonitor.ts";
import type { CoordinatorServer } from "./server.ts";
import { findStart } from "./startingPoint.ts";
import { Training } from "./training.ts";

/** Slots that are summed before the sums are added: the GPUs of a usual node. Part of what the result's bits depend on. */
const slotsPerGroup = 8;

/** Milliseconds between two looks for silent workers. */
const evictionIntervalMs = 500;

/** What a coordinator works with; its caller owns the listener and the run directory. */
export interface CoordinatorContext {
  readonly runId: string;
  /** COORD_HOME. */
  readonly home: string;
  readonly paths: RunPaths;
  readonly config: RunConfig;
  /** `checkpoint-N` to continue from; absent for the newest valid one. */
  readonly from: string | undefined;
  /** "host:port" that workers get. */
  readonly address: string;
  readonly server: CoordinatorServer;
  readonly events: EventLog;
  readonly logger: Logger;
  readonly generations: GenerationFile;
  /** Where checkpoints are. */
  readonly store: CheckpointStore;
  /** Aborted by SIGTERM: checkpoint, then end with exit code 75. */
  readonly terminated: AbortSignal;
  /** Attempts that earlier coordinators of this run have used. */
  readonly firstAttempt: number;
  /** An earlier coordinator of this run has crashed and may have left agents. */
  readonly afterCrash: boolean;
  /** Keeps a setting that was changed while the run goes on, for the next coordinator. */
  keep(change: Partial<RunConfig>): void;
}

/** How a run ended. */
export interface RunOutcome {
  readonly state: "finished" | "stopped" | "failed";
  readonly exitCode: number;
  readonly errorCode: string;
  readonly message: string;
  readonly step: number;
  readonly maxSteps: number;
  readonly checkpoint: string;
  /** Directory of the adapter; empty when there is none. */
  readonly adapter: string;
}

/** Carries a run from data preparation to its outcome. Never throws: a failure is an outcome. */
export class Coordinator {
  readonly #context: CoordinatorContext;
  readonly #clock: Clock = systemClock;
  readonly #store: CheckpointStore;
  readonly #agents: RunAgents;
  readonly #stopNow = new AbortController();
  readonly #failed = new Deferred<never>();
  readonly monitor: RunMonitor;
  #training: Training | undefined;
  #regions: SharedRegions | undefined;
  #adapter = "";
  #saveSteps: number;

  constructor(context: CoordinatorContext) {
    this.#context = context;
    const { config, events, runId } = context;
    this.#saveSteps = config.saveSteps;
    this.#store = context.store;
    this.monitor = new RunMonitor({
      runId,
      output: config.output,
      worldSize: worldSizeOf(config),
      clock: this.#clock,
      events,
      onStop: (now) => this.#stop(now),
      onSave: () => this.#training?.session.requestSave(),
      onSet: (change) => this.#change(change),
    });
    this.#agents = new RunAgents({ ...context, onFailure: (error) => this.#failed.reject(error) });
    this.monitor.places = this.#agents.pool.places;
    context.server.add(RunService, this.monitor.handlers);
    context.server.add(AgentService, this.#agents.pool.handlers);
  }

  async run(): Promise<RunOutcome> {
    const { config, terminated } = this.#context;
    terminated.addEventListener("abort", () => this.#stop(false), { once: true });
    let outcome: RunOutcome;
    try {
      await unlessAborted(Promise.race([this.#train(), this.#failed.promise]), this.#stopNow.signal);
      outcome = this.#completed();
    } catch (thrown) {
      outcome = this.#broken(thrown);
    }
    this.#agents.pool.end({
      now: outcome.state === "failed" || this.#stopNow.signal.aborted,
      // Whoever started the agents (a Kubernetes Job, say) would take their end for the end of the run.
      stay: config.launcher === "none" && outcome.exitCode === exitCodes.worthRetrying,
    });
    this.#training?.session.close(new CoordError("STOPPED", "The run is over."));
    await this.#agents.ended();
    await this.#regions?.remove();
    const states = { finished: RunState.FINISHED, stopped: RunState.STOPPED, failed: RunState.FAILED };
    this.monitor.errorCode = outcome.errorCode;
    this.monitor.exitCode = outcome.exitCode;
    this.monitor.enter(states[outcome.state], outcome.message);
    return outcome;
  }

  async #train(): Promise<void> {
    const { config, events, generations, home, paths, runId, server } = this.#context;
    const signal = this.#stopNow.signal;
    this.monitor.enter(RunState.PREPARING, "Preparing the data set.");
    const prepared = await prepareDataset({
      config,
      modelDirectory: config.model!,
      data: config.data!,
      ...(config.evalData === undefined ? {} : { evalData: config.evalData }),
      cacheDirectory: `${home}/cache/tokens`,
      signal,
      onProgress: describePreparing(
        (line, { phase, done, total }) => events.add("data", line, { phase, done, total }),
        () => this.#clock.monotonicMs(),
      ),
    });
    events.add("data", prepared.message, { ...prepared.summary, hit: prepared.hit });
    for (const problem of prepared.summary.problems) events.add("warning", `Skipped: ${problem}`);
    const data = await openTrainingData(prepared, config);
    const { maxSteps, plan, tokens } = data;
    try {
      if (data.description !== undefined) events.add("data", data.description, { rows: data.rows.size });
      this.monitor.maxSteps = maxSteps;
      const fingerprints = await fingerprintsOf(config, data.key);
      const expected = { runId, fingerprints, maxSteps };
      const start = await findStart(config, this.#store, this.#context.from, expected);
      generations.raiseTo(await newestGeneration(this.#store));
      events.add("state", start.reason, { step: start.step });
      signal.throwIfAborted();

      this.#regions = openRegions(config.dataPlane, sharedMemoryDirectory(home, runId), (reason) =>
        this.#context.logger.info(reason),
      );
      const training = new Training({
        runId,
        config,
        groupSize: Math.min(slotsPerGroup, plan.slots),
        data,
        start,
        store: this.#store,
        writer: this.#createWriter(plan, fingerprints),
        clock: this.#clock,
        server,
        monitor: this.monitor,
        events,
        agents: this.#agents.pool,
        regions: this.#regions,
        // Whoever asks for a certain checkpoint does not want what came after it.
        adopt: this.#context.from === undefined,
        recorded: await readStepFigures(paths.metrics),
        recordedEvaluations: await readEvaluations(paths.metrics),
        trackers: await trackersOf({ runId, config, eventsPath: paths.events }),
        nextGeneration: () => generations.next(),
      });
      this.#training = training;
      training.saveSteps = this.#saveSteps;
      training.failed.promise.catch((thrown: unknown) => this.#failed.reject(thrown));
      if (start.step < maxSteps && !this.#endedEarly) await this.#runWorkers(training);
      await training.settle();
      if (training.session.step >= maxSteps || this.#endedEarly) await this.#export(training);
    } finally {
      await tokens.close();
    }
  }

  async #runWorkers(training: Training): Promise<void> {
    const { config } = this.#context;
    this.monitor.enter(RunState.FORMING, `Starting ${worldSizeOf(config)} workers on ${config.nodes} nodes.`);
    await this.#agents.start();
    let lastLook = this.#clock.monotonicMs();
    const eviction = setInterval(() => {
      // If this process itself was held up, the silence may be its own.
      const late = this.#clock.monotonicMs() - lastLook > 2 * evictionIntervalMs;
      lastLook = this.#clock.monotonicMs();
      if (!late) training.session.evictSilent();
      if (training.session.waitingMs > config.formTimeoutMs) this.#failed.reject(tooFew(training, config));
    }, evictionIntervalMs);
    try {
      await training.session.allFinished.promise;
    } finally {
      clearInterval(eviction);
    }
  }

  /** Why training is over before its last step; undefined while it is not, or was stopped. */
  get #endedEarly(): string | undefined {
    return this.#training?.log.stopReason;
  }

  /** The first wish ends the run after a checkpoint, where there is something to save; `now` ends it at once. */
  #stop(now: boolean): void {
    if (!now && this.#training) this.#training.stop();
    else if (this.#context.terminated.aborted) this.#stopNow.abort(this.#context.terminated.reason);
    else this.#stopNow.abort(new CoordError("STOPPED", "Stopped by the user."));
  }

  /** Carries out `coord set`; what changes for good is kept for the run's next coordinator. */
  #change({ logLevel, saveSteps }: LiveSettings) {
    const { events, keep, logger } = this.#context;
    if (logLevel !== undefined) logger.level = logLevel;
    if (saveSteps !== undefined) {
      this.#saveSteps = saveSteps;
      if (this.#training) this.#training.saveSteps = saveSteps;
      keep({ saveSteps });
      events.add("state", `A checkpoint is due every ${saveSteps} steps from now on.`, { saveSteps });
    }
    return { logLevel: logger.level, saveSteps: this.#saveSteps };
  }

  #completed(): RunOutcome {
    const { maxSteps } = this.monitor;
    const step = this.#training?.session.step ?? 0;
    const figures = { errorCode: "", step, maxSteps, checkpoint: this.monitor.checkpoint, adapter: this.#adapter };
    if (step >= maxSteps) {
      return { state: "finished", exitCode: exitCodes.done, message: `Finished after ${step} steps.`, ...figures };
    }
    if (this.#endedEarly) {
      const message = `Finished early, at step ${step} of ${maxSteps}. ${this.#endedEarly}`;
      return { state: "finished", exitCode: exitCodes.done, message, ...figures };
    }
    const terminated = this.#context.terminated.aborted;
    const who = terminated ? "Ended by the system" : "Stopped by the user";
    const exitCode = terminated ? exitCodes.worthRetrying : exitCodes.stoppedByUser;
    return {
      state: "stopped",
      exitCode,
      message: `${who} at step ${step} of ${maxSteps}, after a checkpoint.`,
      ...figures,
    };
  }

  #broken(thrown: unknown): RunOutcome {
    const { events, logger } = this.#context;
    const error = toCoordError(thrown);
    const stopped = error.code === "STOPPED" || error.code === "TERMINATED";
    if (!stopped) {
      logger.error({ code: error.code, err: error.code === "INTERNAL" ? thrown : undefined }, error.message);
      events.add("error", error.message, { code: error.code, ...this.#agents.rootCause });
    }
    return {
      state: stopped ? "stopped" : "failed",
      exitCode: error.exitCode,
      errorCode: stopped ? "" : error.code,
      message: error.message,
      step: this.#training?.session.step ?? 0,
      maxSteps: this.monitor.maxSteps,
      checkpoint: this.monitor.checkpoint,
      adapter: "",
    };
  }
  #createWriter(plan: SamplePlan, fingerprints: Fingerprints): CheckpointWriter {
    const { config, events, runId } = this.#context;
    return new CheckpointWriter({
      runId,
      config,
      plan,
      store: this.#store,
      checkOwner: () => this.#context.generations.check(),
      fingerprints,
      tokenizerFiles: tokenizerFilesOf(config.model!),
      onSaved: (path, step, tookMs) => {
        this.monitor.checkpoint = path;
        events.add("checkpoint", `Saved ${path} in ${Math.round(tookMs)} ms.`, { step, path, tookMs });
      },
      onTolerated: (step, { code, message }) =>
        events.add("warning", `${message} Training goes on (--on-save-error continue).`, { step, code }),
    });
  }

  /** Writes the trained adapter where PEFT users look for it: into the output itself. */
  async #export(training: Training): Promise<void> {
    const { config } = this.#context;
    const state = (config.loadBestModelAtEnd && (await this.#bestState(training))) || training.lastState!;
    const adapterConfig = adapterConfigOf(config, config.model!, state.layout);
    if (isS3(config.output)) {
      const { putFiles } = await import("../shared/checkpoint/s3/putFiles.ts");
      await putFiles(config.output, adapterFiles(state, adapterConfig));
    } else {
      await exportAdapter(config.output, state, adapterConfig);
    }
    this.#adapter = config.output;
  }

  /** That of the checkpoint with the best held-out loss, if there is one. */
  async #bestState({ log }: Training): Promise<TrainingState | undefined> {
    const own = (await this.#store.list()).filter(
      (entry) => entry.state === "readable" && entry.manifest.runId === this.#context.runId,
    );
    const steps = own.map(({ step }) => step);
    const best = bestCheckpoint(log.current.log_history, steps);
    if (best === undefined) return undefined;
    this.#context.events.add("state", `The adapter is that of checkpoint-${best}: its held-out loss is the best.`);
    return (await this.#store.load(`checkpoint-${best}`)).state;
  }
}

function tooFew({ session }: Training, config: RunConfig): CoordError {
  const { formTimeoutMs } = config;
  const missing = gpusOfNodes(config)
    .flatMap((gpus, nodeRank) => Array.from({ length: gpus }, (_, localRank) => `${nodeRank}/${localRank}`))
    .filter((workerId) => !session.members.has(workerId));
  return new CoordError(
    "WORKER_FAILED",
    `After ${formTimeoutMs / 1000} s (--form-timeout-ms) these workers (node/place) are still missing: ${missing.join(", ")}.`,
  );
}

/** The newest membership epoch that a checkpoint knows: newer, perhaps, than the run directory, which can be lost. */
async function newestGeneration(store: CheckpointStore): Promise<bigint> {
  let newest = 0n;
  for (const entry of await store.list()) {
    const generation = entry.state === "readable" ? BigInt(entry.manifest.generation) : 0n;
    if (generation > newest) newest = generation;
  }
  return newest;
}
