import { availableParallelism, hostname } from "node:os";
import { join } from "node:path";
import { backoffDelayMs, retry } from "../shared/backoff.ts";
import { systemClock } from "../shared/clock.ts";
import { CoordError, toCoordError } from "../shared/errors.ts";
import { AgentService, type RegisterResponse } from "../shared/gen/coord/v1/agent_pb.ts";
import type { Logger } from "../shared/log.ts";
import { keepLogsSmall } from "../shared/process/rotateLog.ts";
import { Connection, type Endpoint } from "../shared/rpc/client.ts";
import type { CoordinatorSupervisor } from "./coordinatorSupervisor.ts";
import { type WorkerExit, WorkerProcesses } from "./workerProcesses.ts";

export interface AgentOptions {
  readonly endpoint: Endpoint;
  readonly runId: string;
  readonly nodeRank: number;
  readonly incarnation: string;
  /** Directory for the logs of the workers. */
  readonly logs: string;
  /** Milliseconds without a coordinator after which the agent ends its workers and itself. */
  readonly reconnectBudgetMs: number;
  /** Present on the coordinator's own host. */
  readonly supervisor?: CoordinatorSupervisor;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** Milliseconds between SIGTERM and SIGKILL when the agent ends on its own account. */
const ownGraceMs = 5000;

/**
 * Starts, watches and ends the workers of one node on the coordinator's word. Returns when the coordinator orders the
 * agent to end; whatever the way out, no worker is left behind.
 */
export async function runAgent(options: AgentOptions): Promise<void> {
  const { endpoint, logger, nodeRank, runId, signal } = options;
  const connection = new Connection(endpoint);
  const service = connection.service(AgentService);
  const identity = { runId, nodeRank, incarnation: options.incarnation };

  const report = (exit: WorkerExit) => {
    logger.info({ ...exit, lastLines: undefined }, "worker ended");
    retry(() => service.reportExit({ ...identity, ...exit }), {
      budgetMs: options.reconnectBudgetMs,
      clock: systemClock,
      signal,
    }).catch((thrown: unknown) => logger.warn({ reason: String(thrown) }, "could not report a worker's end"));
  };
  const workers = new WorkerProcesses({ ...options, onExit: report });
  const endRotation = keepLogsSmall(() => [join(options.logs, `agent_${nodeRank}.log`), ...workers.logs]);
  try {
    await follow();
  } finally {
    endRotation();
    await workers.stopAll(ownGraceMs);
    connection.close();
  }

  async function follow(): Promise<void> {
    let lastContact = systemClock.monotonicMs();
    for (let attempt = 0; ; attempt++) {
      let registeredAt: number | undefined;
      try {
        await connection.reach(signal);
        const request = {
          ...identity,
          host: hostname(),
          pid: process.pid,
          processors: availableParallelism(),
          running: workers.running,
        };
        for await (const response of service.register(request, { signal })) {
          attempt = 0;
          registeredAt ??= systemClock.monotonicMs();
          if ((await obey(response)) === "exit") return;
        }
        lastContact = systemClock.monotonicMs();
      } catch (thrown) {
        signal.throwIfAborted();
        const error = toCoordError(thrown);
        if (error.code !== "COORDINATOR_UNREACHABLE") throw error;
        const now = systemClock.monotonicMs();
        if (registeredAt !== undefined) {
          // Orders are rare: until it broke, an open stream was contact enough.
          lastContact = now;
          options.supervisor?.wasHere(now - registeredAt);
        }
        const silentMs = now - lastContact;
        if (silentMs > options.reconnectBudgetMs) {
          throw new CoordError(
            "COORDINATOR_UNREACHABLE",
            `The coordinator at ${endpoint.address} has not answered for ${Math.round(silentMs / 1000)} s; this node ends its workers.`,
            { cause: error },
          );
        }
        logger.warn({ reason: error.message, attempt }, "lost the coordinator; registering again");
        await options.supervisor?.lookAfter();
      }
      await systemClock.sleep(backoffDelayMs(attempt, Math.random()), signal);
    }
  }

  async function obey({ order }: RegisterResponse): Promise<"exit" | "go on"> {
    switch (order.case) {
      case "start":
        await workers.start(order.value);
        return "go on";
      case "stop":
        if (order.value.exit) {
          await workers.stopAll(order.value.graceMs);
          return "exit";
        }
        if (order.value.localRank === undefined) await workers.stopAll(order.value.graceMs);
        else await workers.stop(order.value.localRank, order.value.graceMs);
        return "go on";
      case "welcome":
        return "go on";
      case undefined:
        throw new CoordError("INVALID_REQUEST", "The coordinator sent an order that this version does not know.");
    }
  }
}
