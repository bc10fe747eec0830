import type { MessageInitShape } from "@bufbuild/protobuf";
import { AsyncQueue } from "../../shared/asyncQueue.ts";
import type { Clock } from "../../shared/clock.ts";
import { Deferred } from "../../shared/deferred.ts";
import { CoordError } from "../../shared/errors.ts";
import type {
  AgentService,
  RegisterRequest,
  RegisterResponseSchema,
  ReportExitRequest,
} from "../../shared/gen/coord/v1/agent_pb.ts";
import type { CallContext, Handlers } from "../../shared/rpc/server.ts";
import { type Failure, FailureHistory } from "./failureHistory.ts";
import { decideRestart, describeEnd } from "./restartBudget.ts";

type Order = MessageInitShape<typeof RegisterResponseSchema>;

/** Where a worker belongs, and which start of that place is the newest. */
export interface Place {
  readonly nodeRank: number;
  readonly localRank: number;
  attempt: number;
  restarts: number;
}

interface Node {
  readonly incarnation: string;
  readonly host: string;
  readonly orders: AsyncQueue<Order>;
  /** Attempts of the workers that it had when it registered, by local rank; started ones are added. */
  running: Map<number, number>;
  /** Its stream of orders is open. */
  isHere: boolean;
  /** Agents that this one, and those before it, have taken the node over from. */
  readonly replaced: ReadonlySet<string>;
}

/** A worker that ended and will not come back. */
export interface PlaceFailure {
  readonly place: Place;
  readonly reason: string;
  /** The failure that this one, perhaps, only followed. */
  readonly first: Failure;
}

export interface AgentPoolOptions {
  readonly runId: string;
  /** Workers of each node that may take part, by node rank. */
  readonly gpus: readonly number[];
  /** Nodes that the run starts with, the first ones; absent for all. */
  readonly nodes?: number;
  readonly maxRestarts: number;
  /** Time after which a restart no longer counts, in milliseconds. */
  readonly restartWindowMs: number;
  readonly clock: Pick<Clock, "monotonicMs">;
  /** Attempts that earlier coordinators of this run have used. */
  readonly firstAttempt: number;
  /** Environment of a worker; asked for when it is started. */
  environment(place: Place): Record<string, string>;
  onNode(nodeRank: number, host: string): void;
  onRestart(place: Place, reason: string): void;
  onFailure(failure: PlaceFailure): void;
}

/** Milliseconds that a worker has between SIGTERM and SIGKILL. */
const graceMs = 5000;

/** The registered agents of a run: has workers started, and started again within the budget. */
export class AgentPool {
  readonly handlers: Handlers<typeof AgentService> = {
    register: (request, context) => this.#register(request, context),
    reportExit: async (request) => this.#reportExit(request),
  };
  readonly places: Place[];
  /** Failures and restarts, of workers and agents: all count against --max-restarts. */
  readonly history: FailureHistory;
  readonly #nodes = new Map<number, Node>();
  /** Starts that wait for a node to cool down. */
  readonly #later = new Set<NodeJS.Timeout>();
  #begun = false;
  #over: "no" | "until the next coordinator" | "for good" = "no";
  /** Nodes whose agents have yet to hear that the run is over. */
  readonly #untold = new Set<number>();
  readonly #allTold = new Deferred<void>();

  constructor(private readonly options: AgentPoolOptions) {
    this.history = new FailureHistory(options.restartWindowMs);
    const nodes = options.gpus.slice(0, options.nodes);
    this.places = nodes.flatMap((_, nodeRank) => this.#newPlaces(nodeRank));
  }

  /** Has the workers started: on the nodes that are here now, on the others when they come. */
  begin(): void {
    this.#begun = true;
    for (const nodeRank of this.#nodes.keys()) this.#startNode(nodeRank);
  }

  /** True while the agent of a node is connected. */
  isHere(nodeRank: number): boolean {
    return this.#nodes.get(nodeRank)?.isHere ?? false;
  }

  /** Has a worker that does not answer ended; its exit report leads to the restart. */
  replace(nodeRank: number, localRank: number): void {
    this.#order(nodeRank, { order: { case: "stop", value: { localRank, graceMs: 0, exit: false } } });
  }

  /** Training is over: ends all workers, and their agents unless these `stay` for the run's next coordinator. */
  end(options: { now: boolean; stay: boolean }): void {
    for (const timer of this.#later) clearTimeout(timer);
    this.#over = options.stay ? "until the next coordinator" : "for good";
    for (const { orders } of this.#nodes.values()) {
      orders.push({ order: { case: "stop", value: { graceMs: options.now ? 0 : graceMs, exit: !options.stay } } });
      orders.end();
    }
    if (this.#begun && !options.stay) {
      for (const { nodeRank } of this.places) if (!this.isHere(nodeRank)) this.#untold.add(nodeRank);
    }
    if (this.#untold.size === 0) this.#allTold.resolve();
  }

  /**
   * Resolves when the agents of all nodes have heard of the end: workers that survived a coordinator can finish a short
   * run before their agent has come back.
   */
  allTold(): Promise<void> {
    return this.#allTold.promise;
  }

  async *#register(request: RegisterRequest, { signal }: CallContext): AsyncGenerator<Order> {
    const { nodeRank, incarnation, runId } = request;
    if (runId !== this.options.runId) {
      throw new CoordError(
        "NOT_A_MEMBER",
        `This coordinator serves run ${this.options.runId}, the agent belongs to ${runId}.`,
      );
    }
    if (nodeRank >= this.options.gpus.length) {
      throw new CoordError(
        "CONFIG_INVALID",
        `Node ${nodeRank} does not exist; the run has ${this.options.gpus.length} nodes (--max-nodes lets more in).`,
      );
    }
    if (this.#over === "for good") {
      yield { order: { case: "stop", value: { graceMs, exit: true } } };
      this.#untold.delete(nodeRank);
      if (this.#untold.size === 0) this.#allTold.resolve();
      return;
    }
    // Retryable: the agent asks again until the next coordinator of the run answers.
    if (this.#over !== "no") throw new CoordError("COORDINATOR_UNREACHABLE", "This coordinator is ending.");
    const before = this.#nodes.get(nodeRank);
    const takenOver = new CoordError("NOT_A_MEMBER", `Another agent has taken over node ${nodeRank}.`);
    // It was cut off while its launcher started another one, and comes back with workers that are too late.
    if (before?.replaced.has(incarnation)) throw takenOver;
    before?.orders.fail(takenOver);
    if (this.#placesOf(nodeRank).length === 0) this.places.push(...this.#newPlaces(nodeRank));
    const { host } = request;
    const replaced = new Set(before?.replaced);
    if (before && before.incarnation !== incarnation) replaced.add(before.incarnation);
    const node: Node = { incarnation, host, orders: new AsyncQueue(), running: new Map(), isHere: true, replaced };
    this.#nodes.set(nodeRank, node);
    const hangUp = () => node.orders.end();
    signal.addEventListener("abort", hangUp, { once: true });
    if (before?.incarnation !== incarnation) {
      this.options.onNode(nodeRank, request.host);
      // A new agent in place of another one starts its workers anew.
      if (before) for (const place of this.#placesOf(nodeRank)) place.attempt++;
    }
    // The same agent that has lost its connection, or its coordinator, still has its workers.
    const running = new Map(request.running.map(({ attempt, localRank }) => [localRank, attempt]));
    node.running = running;
    for (const place of this.#placesOf(nodeRank)) place.attempt = running.get(place.localRank) ?? place.attempt;
    if (this.#begun) this.#startNode(nodeRank);
    try {
      yield { order: { case: "welcome", value: {} } };
      yield* node.orders;
    } finally {
      node.isHere = false;
      signal.removeEventListener("abort", hangUp);
    }
  }

  #reportExit(report: ReportExitRequest) {
    const place = this.places.find((p) => p.nodeRank === report.nodeRank && p.localRank === report.localRank);
    if (report.runId !== this.options.runId || !place || report.attempt !== place.attempt) return {};
    const nowMs = this.options.clock.monotonicMs();
    const { history } = this;
    const decision = decideRestart(report, {
      over: this.#over !== "no",
      restarts: history.restarts(nowMs),
      maxRestarts: this.options.maxRestarts,
      failuresInARow: history.inARow(place.nodeRank),
    });
    if (decision.kind === "ignore") return {};
    const { explanation, lastLines } = report;
    const how = `${describeEnd(report)}.${explanation ? ` ${explanation}` : ""}`;
    history.add({ ...place, atMs: nowMs, host: this.#nodes.get(place.nodeRank)?.host ?? "", how, lastLines });
    if (decision.kind === "restart") {
      history.restarted(nowMs);
      place.restarts++;
      place.attempt++;
      this.options.onRestart(place, explanation ? `${decision.reason} ${explanation}` : decision.reason);
      this.#startLater(place, decision.delayMs);
    } else {
      this.options.onFailure({ place: { ...place }, reason: decision.reason, first: history.first! });
    }
    return {};
  }

  #startLater(place: Place, delayMs: number): void {
    if (delayMs === 0) {
      this.#start(place);
      return;
    }
    const { attempt } = place;
    const timer = setTimeout(() => {
      this.#later.delete(timer);
      // A new agent may have started it meanwhile.
      if (place.attempt === attempt && this.#nodes.get(place.nodeRank)?.running.get(place.localRank) !== attempt)
        this.#start(place);
    }, delayMs);
    this.#later.add(timer);
  }

  #newPlaces(nodeRank: number): Place[] {
    const { firstAttempt, gpus } = this.options;
    const newPlace = (_: unknown, localRank: number) => ({ nodeRank, localRank, attempt: firstAttempt, restarts: 0 });
    return Array.from({ length: gpus[nodeRank]! }, newPlace);
  }

  #placesOf(nodeRank: number): Place[] {
    return this.places.filter((place) => place.nodeRank === nodeRank);
  }

  #startNode(nodeRank: number): void {
    const running = this.#nodes.get(nodeRank)?.running;
    for (const place of this.#placesOf(nodeRank)) if (!running?.has(place.localRank)) this.#start(place);
  }

  #start(place: Place): void {
    const environment = this.options.environment(place);
    const { attempt, localRank, nodeRank } = place;
    this.#nodes.get(nodeRank)?.running.set(localRank, attempt);
    this.#order(nodeRank, { order: { case: "start", value: { localRank, attempt, environment } } });
  }

  #order(nodeRank: number, order: Order): void {
    this.#nodes.get(nodeRank)?.orders.push(order);
  }
}
