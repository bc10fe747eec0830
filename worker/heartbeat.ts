import { systemClock } from "../shared/clock.ts";
import { MembershipService, WorkerPhase } from "../shared/gen/coord/v1/membership_pb.ts";
import type { Logger } from "../shared/log.ts";
import { Connection, type Endpoint } from "../shared/rpc/client.ts";
import type { Caller } from "./collective/coordinatorClient.ts";

/** Milliseconds between two signs of life. */
const intervalMs = 1000;

/**
 * Tells the coordinator that this process lives and what it is doing. Has a connection of its own, because bulk data
 * would hold its messages up, and runs on the main thread, because the compute thread is busy for seconds.
 */
export class Heartbeat {
  readonly #connection: Connection;
  readonly #membership;
  #timer: NodeJS.Timeout | undefined;
  phase = WorkerPhase.WAITING;
  generation = 0n;
  step = 0;
  /** When a beat was answered last, by the monotonic clock; 0 before. */
  answeredAtMs = 0;

  constructor(
    endpoint: Endpoint,
    private readonly caller: Caller,
    private readonly logger: Logger,
  ) {
    this.#connection = new Connection(endpoint);
    this.#membership = this.#connection.service(MembershipService);
  }

  start(): void {
    this.#timer = setInterval(() => {
      const request = {
        member: this.caller,
        generation: this.generation,
        step: BigInt(this.step),
        phase: this.phase,
        residentBytes: BigInt(process.memoryUsage.rss()),
      };
      // A missed beat is the receiver's business; a coordinator that is gone shows on the join stream.
      this.#membership.heartbeat(request, { timeoutMs: intervalMs * 2 }).then(
        ({ logLevel }) => {
          this.answeredAtMs = systemClock.monotonicMs();
          if (logLevel !== "") this.logger.level = logLevel;
        },
        () => {},
      );
    }, intervalMs);
  }

  /** Begins the connection anew. */
  renew(): void {
    this.#connection.renew();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#connection.close();
  }
}
