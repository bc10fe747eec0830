import type { MessageInitShape } from "@bufbuild/protobuf";
import { AsyncQueue } from "../../shared/asyncQueue.ts";
import type { Clock } from "../../shared/clock.ts";
import { CoordError } from "../../shared/errors.ts";
import { WorkerPhase } from "../../shared/gen/coord/v1/membership_pb.ts";
import { type RunService, RunState, type RunStatusSchema } from "../../shared/gen/coord/v1/run_pb.ts";
import type { CallContext, Handlers } from "../../shared/rpc/server.ts";
import type { Place } from "../launch/agentPool.ts";
import type { Member } from "../membership/member.ts";
import type { TrainingSession } from "../membership/trainingSession.ts";
import type { EventLog, RunEvent } from "./eventLog.ts";
import type { StepFigures } from "./stepMeter.ts";
import { type ProfiledStep, StepTimings } from "./stepTimings.ts";

/** Steps that one question follows at most. */
const mostProfiledSteps = 10_000;

type Status = MessageInitShape<typeof RunStatusSchema>;

export interface MonitorOptions {
  readonly runId: string;
  readonly output: string;
  readonly worldSize: number;
  readonly clock: Clock;
  readonly events: EventLog;
  onStop(now: boolean): void;
  onSave(): void;
  /** Returns what is in force now. */
  onSet(change: LiveSettings): { readonly saveSteps: number; readonly logLevel: string };
}

/** What may change while a run goes on; undefined for what shall stay. */
export interface LiveSettings {
  readonly saveSteps?: number | undefined;
  readonly logLevel?: string | undefined;
}

/** Knows where a run stands, and tells those who ask or follow. */
export class RunMonitor {
  readonly handlers: Handlers<typeof RunService> = {
    getStatus: async () => ({ status: this.status() }),
    watch: (request, context) => this.#watch(Number(request.from), context),
    stop: async (request) => {
      this.stop(request.now);
      return {};
    },
    saveCheckpoint: async () => ({ step: BigInt(this.saveCheckpoint()) }),
    set: async (request) => this.set(request),
    profile: ({ steps }, context) => this.#profile(steps, context),
  };
  readonly timings = new StepTimings();
  /** That workers shall log at; empty for their own. */
  logLevel = "";
  #state = RunState.PREPARING;
  #reason = "";
  readonly #ended = new AbortController();
  session: TrainingSession | undefined;
  places: readonly Place[] = [];
  metrics: StepFigures | undefined;
  checkpoint = "";
  maxSteps = 0;
  errorCode = "";
  exitCode = 0;

  constructor(private readonly options: MonitorOptions) {}

  get state(): RunState {
    return this.#state;
  }

  /** Moves the run to a state, with a sentence that says why; another reason for the same state is no event. */
  enter(state: RunState, reason: string): void {
    const changed = state !== this.#state || this.#reason === "";
    this.#state = state;
    this.#reason = reason;
    if (changed) this.options.events.add("state", reason, { state: RunState[state].toLowerCase() });
  }

  stop(now: boolean): void {
    this.options.onStop(now);
  }

  /** Asks for a checkpoint; returns the steps committed so far. Throws INVALID_REQUEST before training. */
  saveCheckpoint(): number {
    if (!this.session) throw new CoordError("INVALID_REQUEST", "Training has not begun: there is nothing to save yet.");
    this.options.onSave();
    return this.session.step;
  }

  /** Changes what is given and returns what is in force. Throws INVALID_REQUEST. */
  set({ logLevel, saveSteps }: LiveSettings): { readonly saveSteps: number; readonly logLevel: string } {
    if (logLevel !== undefined && !logLevels.includes(logLevel)) {
      throw new CoordError("INVALID_REQUEST", `The log level must be one of ${logLevels.join(", ")}.`);
    }
    this.logLevel = logLevel ?? this.logLevel;
    return this.options.onSet({ logLevel, saveSteps });
  }

  /** Lets followers read what is left and hang up. */
  end(): void {
    this.#ended.abort();
  }

  status(): Status {
    const { output, runId, worldSize } = this.options;
    const { metrics } = this;
    return {
      runId,
      state: this.#state,
      reason: this.#reason,
      step: BigInt(this.session?.step ?? 0),
      maxSteps: BigInt(this.maxSteps),
      generation: this.session?.generation?.number ?? 0n,
      output,
      workers: this.places.map((place) => this.#worker(place)),
      checkpoint: this.checkpoint,
      errorCode: this.errorCode,
      exitCode: this.exitCode,
      worldSize,
      ...(metrics
        ? { metrics: { ...metrics, step: BigInt(metrics.step), inputTokens: BigInt(metrics.inputTokens) } }
        : {}),
    };
  }

  #worker(place: Place) {
    const { localRank, nodeRank, restarts } = place;
    const member = this.session?.members.get(`${nodeRank}/${localRank}`);
    const known = { nodeRank, localRank, restarts };
    if (!member)
      return { ...known, state: this.session?.hasFinished(`${nodeRank}/${localRank}`) ? "left" : "starting" };
    const times = this.timings.times(member.workerId);
    return {
      ...known,
      ...(member.rank === undefined ? {} : { rank: member.rank }),
      pid: member.pid,
      host: member.host,
      state: phaseNames[member.phase],
      step: BigInt(member.step),
      silentMs: BigInt(Math.round(this.#silence(member))),
      residentBytes: BigInt(member.residentBytes),
      straggling: this.timings.straggling(member.workerId),
      ...(times ? { times } : {}),
    };
  }

  #silence(member: Member): number {
    return this.options.clock.monotonicMs() - member.lastSeenMs;
  }

  async *#profile(steps: number, { signal }: CallContext) {
    const queue = new AsyncQueue<ProfiledStep>();
    const unfollow = this.timings.follow((step) => queue.push(step));
    const end = () => queue.end();
    for (const ending of [signal, this.#ended.signal]) ending.addEventListener("abort", end, { once: true });
    try {
      let left = Math.min(steps, mostProfiledSteps);
      if (left === 0 || this.#ended.signal.aborted) return;
      for await (const { spans, step } of queue) {
        yield { step: BigInt(step), spans: [...spans] };
        if (--left === 0) return;
      }
    } finally {
      unfollow();
      for (const ending of [signal, this.#ended.signal]) ending.removeEventListener("abort", end);
    }
  }

  async *#watch(from: number, { signal }: CallContext) {
    const queue = new AsyncQueue<RunEvent>();
    const unfollow = this.options.events.follow(from, (event) => queue.push(event));
    const end = () => queue.end();
    signal.addEventListener("abort", end, { once: true });
    this.#ended.signal.addEventListener("abort", end, { once: true });
    if (this.#ended.signal.aborted) end();
    try {
      yield { status: this.status() };
      for await (const event of queue) {
        const { data, ...rest } = event;
        yield {
          event: {
            ...rest,
            sequence: BigInt(event.sequence),
            timeMs: BigInt(event.timeMs),
            dataJson: JSON.stringify(data),
          },
          status: this.status(),
        };
      }
    } finally {
      unfollow();
      signal.removeEventListener("abort", end);
      this.#ended.signal.removeEventListener("abort", end);
    }
  }
}

/** What `coord set --log-level` takes. */
export const logLevels: readonly string[] = ["trace", "debug", "info", "warn", "error"];

const phaseNames: Record<WorkerPhase, string> = {
  [WorkerPhase.UNSPECIFIED]: "starting",
  [WorkerPhase.LOADING]: "loading",
  [WorkerPhase.WAITING]: "waiting",
  [WorkerPhase.COMPUTING]: "computing",
  [WorkerPhase.REDUCING]: "reducing",
  [WorkerPhase.EVALUATING]: "evaluating",
  [WorkerPhase.SAVING]: "saving",
};
