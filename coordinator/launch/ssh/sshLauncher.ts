import { join } from "node:path";
import { hostsOf } from "../../../shared/config/hosts.ts";
import type { RunConfig } from "../../../shared/config/schema.ts";
import { endLine, type Placement } from "../../../shared/hosts/messages.ts";
import { AgentKeeper, type AgentStart, type KeeperOptions } from "../agentKeeper.ts";
import { givenVariables } from "../givenVariables.ts";
import type { Launcher } from "../launcher.ts";
import { startWatch, type Watch } from "../watchCoordinator.ts";
import { describeSshEnd } from "./describeSshEnd.ts";
import { remoteCommand } from "./remoteCommand.ts";
import { openSession } from "./sshSession.ts";

export interface SshLauncherOptions extends KeeperOptions {
  readonly config: RunConfig;
  /** Credentials by the variable that names their file. */
  credentials(): Promise<Record<string, string>>;
}

/** Starts agents on other hosts with the system's ssh, one connection per host. */
export class SshLauncher implements Launcher {
  readonly #keeper: AgentKeeper;
  #watch: Watch | undefined;

  constructor(private readonly options: SshLauncherOptions) {
    this.#keeper = new AgentKeeper(options, (nodeRank) => this.#startAgent(nodeRank));
  }

  async start(): Promise<void> {
    const { home, logs, processes, runId } = this.options;
    this.#watch = await startWatch({ home, runId, processes, log: join(logs, "watch.log") });
    await this.#keeper.start();
  }

  async stop(): Promise<void> {
    await this.#watch?.end();
    await this.#keeper.stop();
  }

  async #startAgent(nodeRank: number): Promise<AgentStart> {
    const { config } = this.options;
    const host = hostsOf(config)[nodeRank]!;
    const placement = await this.#placement(nodeRank);
    let started = false;
    const session = openSession(host, [...remoteCommand(config), "agent", "--from-stdin"], config, () => {
      started = true;
    });
    session.send(JSON.stringify(placement));
    return {
      ended: session.ended.then((end) => ({
        started,
        lost: end.exitCode === 255 || end.exitCode === -1,
        how: describeSshEnd(host, end, started),
      })),
      end: () => session.send(endLine),
      kill: () => session.kill(),
    };
  }

  async #placement(nodeRank: number): Promise<Placement> {
    const { address, config, credentials, reconnectBudgetMs, runId } = this.options;
    return {
      runId,
      nodeRank,
      join: address,
      files: await credentials(),
      environment: { ...givenVariables(config, process.env), COORD_RECONNECT_BUDGET_MS: String(reconnectBudgetMs) },
    };
  }
}
