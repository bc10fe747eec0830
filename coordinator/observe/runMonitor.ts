import type { MessageInitShape } from "@bufbuild/protobuf";
import { AsyncQueue } from "../../shared/asyncQueue.ts";
import type { Clock } from "../../shared/clock.ts";
import { WorkerPhase } from "../../shared/gen/coord/v1/membership_pb.ts";
import { type RunService, RunState, type RunStatusSchema } from "../../shared/gen/coord/v1/run_pb.ts";
import type { CallContext, Handlers } from "../../shared/rpc/server.ts";
import type { Place } from "../launch/agentPool.ts";
import type { Member } from "../membership/member.ts";
import type { TrainingSession } from "../membership/trainingSession.ts";
import type { EventLog, RunEvent } from "./eventLog.ts";
import type { StepFigures } from "./stepMeter.ts";

type Status = MessageInitShape<typeof RunStatusSchema>;

export interface MonitorOptions {
  readonly runId: string;
  readonly output: string;
  readonly worldSize: number;
  readonly clock: Clock;
  readonly events: EventLog;
  onStop(now: boolean): void;
}

/** Knows where a run stands, and tells those who ask or follow. */
export class RunMonitor {
  readonly handlers: Handlers<typeof RunService> = {
    getStatus: async () => ({ status: this.status() }),
    watch: (request, context) => this.#watch(Number(request.from), context),
    stop: async (request) => {
      this.options.onStop(request.now);
      return {};
    },
  };
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
    return {
      ...known,
      ...(member.rank === undefined ? {} : { rank: member.rank }),
      pid: member.pid,
      host: member.host,
      state: phaseNames[member.phase],
      step: BigInt(member.step),
      silentMs: BigInt(Math.round(this.#silence(member))),
      residentBytes: BigInt(member.residentBytes),
    };
  }

  #silence(member: Member): number {
    return this.options.clock.monotonicMs() - member.lastSeenMs;
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

const phaseNames: Record<WorkerPhase, string> = {
  [WorkerPhase.UNSPECIFIED]: "starting",
  [WorkerPhase.LOADING]: "loading",
  [WorkerPhase.WAITING]: "waiting",
  [WorkerPhase.COMPUTING]: "computing",
  [WorkerPhase.REDUCING]: "reducing",
  [WorkerPhase.EVALUATING]: "evaluating",
  [WorkerPhase.SAVING]: "saving",
};
