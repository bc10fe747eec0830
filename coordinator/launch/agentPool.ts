import type { MessageInitShape } from "@bufbuild/protobuf";
import { AsyncQueue } from "../../shared/asyncQueue.ts";
import { CoordError } from "../../shared/errors.ts";
import type {
  AgentService,
  RegisterRequest,
  RegisterResponseSchema,
  ReportExitRequest,
} from "../../shared/gen/coord/v1/agent_pb.ts";
import type { CallContext, Handlers } from "../../shared/rpc/server.ts";
import { decideRestart } from "./restartBudget.ts";

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
  readonly orders: AsyncQueue<Order>;
  /** Attempts of the workers that it had when it registered, by local rank; started ones are added. */
  running: Map<number, number>;
  /** Its stream of orders is open. */
  isHere: boolean;
}

/** A worker that ended and will not come back. */
export interface PlaceFailure {
  readonly place: Place;
  readonly reason: string;
  readonly lastLines: string;
}

export interface AgentPoolOptions {
  readonly runId: string;
  /** Workers of each node, by node rank. */
  readonly gpus: readonly number[];
  readonly maxRestarts: number;
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
  readonly places: readonly Place[];
  readonly #nodes = new Map<number, Node>();
  /** Restarts so far, of workers and agents; all count against --max-restarts. */
  restarts = 0;
  #begun = false;
  #over: "no" | "until the next coordinator" | "for good" = "no";

  constructor(private readonly options: AgentPoolOptions) {
    this.places = options.gpus.flatMap((count, nodeRank) =>
      Array.from({ length: count }, (_, localRank) => ({
        nodeRank,
        localRank,
        attempt: options.firstAttempt,
        restarts: 0,
      })),
    );
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
    this.#over = options.stay ? "until the next coordinator" : "for good";
    for (const { orders } of this.#nodes.values()) {
      orders.push({ order: { case: "stop", value: { graceMs: options.now ? 0 : graceMs, exit: !options.stay } } });
      orders.end();
    }
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
        `Node ${nodeRank} does not exist; the run has ${this.options.gpus.length} nodes.`,
      );
    }
    if (this.#over === "for good") throw new CoordError("STOPPED", "The run is over.");
    // Retryable: the agent asks again until the next coordinator of the run answers.
    if (this.#over !== "no") throw new CoordError("COORDINATOR_UNREACHABLE", "This coordinator is ending.");
    const before = this.#nodes.get(nodeRank);
    before?.orders.fail(new CoordError("NOT_A_MEMBER", `Another agent has taken over node ${nodeRank}.`));
    const node: Node = { incarnation, orders: new AsyncQueue(), running: new Map(), isHere: true };
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
      yield* node.orders;
    } finally {
      node.isHere = false;
      signal.removeEventListener("abort", hangUp);
    }
  }

  #reportExit(report: ReportExitRequest) {
    const place = this.places.find((p) => p.nodeRank === report.nodeRank && p.localRank === report.localRank);
    if (report.runId !== this.options.runId || !place || report.attempt !== place.attempt) return {};
    const decision = decideRestart(report, {
      over: this.#over !== "no",
      restarts: this.restarts,
      maxRestarts: this.options.maxRestarts,
    });
    if (decision.kind === "restart") {
      this.restarts++;
      place.restarts++;
      place.attempt++;
      this.options.onRestart(place, decision.reason);
      this.#start(place);
    } else if (decision.kind === "fail") {
      this.options.onFailure({ place, reason: decision.reason, lastLines: report.lastLines });
    }
    return {};
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
