import { readFile } from "node:fs/promises";
import { systemClock } from "../../shared/clock.ts";
import { firstRankOf, gpusOfAllNodes } from "../../shared/config/hosts.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { assertNever, CoordError } from "../../shared/errors.ts";
import { type RunPaths, workerLogDirectory } from "../../shared/runPaths.ts";
import type { EventLog } from "../observe/eventLog.ts";
import type { KeeperOptions } from "./agentKeeper.ts";
import { AgentPool, type Place } from "./agentPool.ts";
import { givenVariables } from "./givenVariables.ts";
import { KubernetesLauncher } from "./kubernetes/kubernetesLauncher.ts";
import type { Launcher, LaunchOptions } from "./launcher.ts";
import { LocalLauncher } from "./localLauncher.ts";
import { SlurmLauncher } from "./slurm/slurmLauncher.ts";
import { SshLauncher } from "./ssh/sshLauncher.ts";
import { workerEnvironment } from "./workerEnvironment.ts";

export interface RunAgentsOptions {
  readonly runId: string;
  /** COORD_HOME. */
  readonly home: string;
  readonly paths: Pick<RunPaths, "logs" | "processes" | "token">;
  readonly config: RunConfig;
  /** "host:port" that agents and workers get. */
  readonly address: string;
  /** Attempts that earlier coordinators of this run have used. */
  readonly firstAttempt: number;
  /** An earlier coordinator of this run has crashed and may have left agents. */
  readonly afterCrash: boolean;
  readonly events: EventLog;
  /** A worker or agent is gone for good. */
  onFailure(error: CoordError): void;
}

/** Time in which an agent that has lost its connection will have tried again, in milliseconds: several of its back-offs. */
const farewellMs = 10_000;

/** The agents of a run: the pool that commands them, and the launcher that starts them. */
export class RunAgents {
  readonly pool: AgentPool;
  readonly #launcher: Launcher | undefined;
  /** Which worker failed first, for the report. */
  rootCause: { readonly worker?: string; readonly host?: string; readonly lastLines?: string; readonly log?: string } =
    {};

  constructor(private readonly options: RunAgentsOptions) {
    this.pool = this.#createPool();
    this.#launcher = this.#createLauncher();
  }

  async start(): Promise<void> {
    this.pool.begin();
    await this.#launcher?.start();
  }

  /**
   * Resolves when the agents that we started have ended, or those that somebody else has started know of the end; the
   * pool must have been told to end.
   */
  async ended(): Promise<void> {
    if (this.#launcher) await this.#launcher.stop();
    else await Promise.race([this.pool.allTold(), systemClock.sleep(farewellMs)]);
  }

  #createPool(): AgentPool {
    const { address, config, events, firstAttempt, paths, runId } = this.options;
    const gpus = gpusOfAllNodes(config);
    const separator = address.lastIndexOf(":");
    const describe = ({ localRank, nodeRank }: Pick<Place, "localRank" | "nodeRank">) =>
      `rank ${firstRankOf(gpus, nodeRank) + localRank} (node ${nodeRank}, worker ${localRank})`;
    return new AgentPool({
      runId,
      gpus,
      nodes: config.nodes,
      maxRestarts: config.maxRestarts,
      restartWindowMs: config.restartWindowMs,
      clock: systemClock,
      firstAttempt,
      environment: ({ attempt, localRank, nodeRank }) =>
        workerEnvironment({
          ...{ runId, nodeRank, localRank, gpus, attempt },
          threads: config.threadsPerWorker,
          device: config.device,
          masterAddress: address.slice(0, separator),
          masterPort: Number(address.slice(separator + 1)),
          sharedHost: config.launcher === "local",
        }),
      onNode: (nodeRank, host) => events.add("membership", `Node ${nodeRank} is here: ${host}.`, { nodeRank, host }),
      onRestart: (place, reason) => events.add("worker", `Starting ${describe(place)} again. ${reason}`, { ...place }),
      onFailure: ({ first, place, reason }) => {
        const rank = firstRankOf(gpus, first.nodeRank) + first.localRank;
        const log = `${workerLogDirectory(paths.logs, first.attempt, rank)}/stderr.log`;
        this.rootCause = { worker: describe(first), host: first.host, lastLines: first.lastLines, log };
        const cause = `The first failure was that of ${describe(first)} on ${first.host}: it ${first.how}`;
        const message = `The worker with ${describe(place)} failed. ${reason} ${cause}`;
        this.options.onFailure(new CoordError("WORKER_FAILED", message));
      },
    });
  }

  #createLauncher(): Launcher | undefined {
    const { address, afterCrash, config, events, home, paths, runId } = this.options;
    const options: LaunchOptions = {
      runId,
      nodes: config.nodes,
      address,
      home,
      tokenFile: paths.token,
      logs: paths.logs,
      processes: paths.processes,
      reconnectBudgetMs: config.reconnectBudgetMs,
      onAgentExit: (nodeRank, how) => this.#agentEnded(nodeRank, how),
    };
    const keeper: KeeperOptions = {
      ...options,
      afterCrash,
      isHere: (nodeRank) => this.pool.isHere(nodeRank),
      onTrouble: (nodeRank, message) => events.add("warning", `Node ${nodeRank}: ${message}`, { nodeRank }),
    };
    switch (config.launcher) {
      case "none":
        return undefined;
      case "local":
        return new LocalLauncher(options);
      case "slurm":
        return new SlurmLauncher({ ...keeper, config });
      case "ssh":
        return new SshLauncher({
          ...keeper,
          config,
          credentials: async () => ({ COORD_TOKEN_FILE: await readFile(paths.token, "utf8") }),
        });
      case "k8s":
        return new KubernetesLauncher({
          ...options,
          config,
          credentials: () => readFile(paths.token, "utf8"),
          environment: givenVariables(config, process.env),
          onTrouble: (_, message) => events.add("warning", message),
        });
      default:
        return assertNever(config.launcher);
    }
  }

  #agentEnded(nodeRank: number, how: string): "restart" | "leave" {
    const { config, events, onFailure } = this.options;
    const nowMs = systemClock.monotonicMs();
    if (this.pool.history.restarts(nowMs) >= config.maxRestarts) {
      const message = `The agent of node ${nodeRank} ${how}, and --max-restarts ${config.maxRestarts} is used up.`;
      onFailure(new CoordError("WORKER_FAILED", message));
      return "leave";
    }
    this.pool.history.restarted(nowMs);
    events.add("worker", `The agent of node ${nodeRank} ${how}; starting it again.`, { nodeRank });
    return "restart";
  }
}
