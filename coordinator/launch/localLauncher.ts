import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../shared/clock.ts";
import { isAlive, type ProcessIdentity } from "../../shared/process/identity.ts";
import { readProcessRecords } from "../../shared/process/record.ts";
import { spawnLogged } from "../../shared/process/spawnLogged.ts";
import { terminate } from "../../shared/process/terminate.ts";
import { agentProgram } from "./agentProgram.ts";
import type { Launcher, LaunchOptions } from "./launcher.ts";

/** Milliseconds that agents have to end after they were ordered to, workers' grace included. */
const stopTimeoutMs = 15_000;
/** Milliseconds between two looks at an agent that is not a child of this process. */
const lookMs = 200;

interface Agent {
  /** How it ended. */
  readonly ended: Promise<string>;
  kill(): Promise<unknown>;
}

/** Simulates the nodes of a run on this host: one agent process each. */
export class LocalLauncher implements Launcher {
  readonly #agents = new Map<number, Agent>();
  #stopping = false;

  constructor(private readonly options: LaunchOptions) {}

  /** Starts an agent per node, except where one that an earlier coordinator started is still there. */
  async start(): Promise<void> {
    await mkdir(this.options.logs, { recursive: true });
    const left = await this.#agentsLeft();
    for (let nodeRank = 0; nodeRank < this.options.nodes; nodeRank++) {
      const identity = left.get(nodeRank);
      this.#watch(nodeRank, identity ? adopt(identity, this.options.runId) : await this.#startAgent(nodeRank));
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const timer = setTimeout(() => {
      for (const agent of this.#agents.values()) agent.kill();
    }, stopTimeoutMs);
    await Promise.all([...this.#agents.values()].map(({ ended }) => ended));
    clearTimeout(timer);
  }

  async #agentsLeft(): Promise<Map<number, ProcessIdentity>> {
    const { records } = await readProcessRecords(this.options.processes, this.options.runId);
    const alive = records
      .map(({ record }) => record)
      .filter(({ identity, role }) => role === "agent" && isAlive(identity));
    return new Map(alive.map(({ identity, nodeRank }) => [nodeRank ?? -1, identity]));
  }

  #watch(nodeRank: number, agent: Agent): void {
    this.#agents.set(nodeRank, agent);
    agent.ended.then(async (how) => {
      this.#agents.delete(nodeRank);
      if (this.#stopping) return;
      if (this.options.onAgentExit(nodeRank, how) === "restart")
        this.#watch(nodeRank, await this.#startAgent(nodeRank));
    });
  }

  async #startAgent(nodeRank: number): Promise<Agent> {
    const log = join(this.options.logs, `agent_${nodeRank}.log`);
    const child = await spawnLogged({ ...agentProgram(this.options, nodeRank), stdout: log, stderr: log });
    const ended = child.ended.then(({ exitCode, signal }) =>
      signal ? `was ended by ${signal}` : `ended with exit code ${exitCode}`,
    );
    return { ended, kill: async () => child.kill("SIGKILL") };
  }
}

/** An agent that an earlier coordinator has started: not a child, so it is looked at instead of waited for. */
function adopt(identity: ProcessIdentity, runId: string): Agent {
  const gone = async () => {
    while (isAlive(identity)) await systemClock.sleep(lookMs);
    return "is gone";
  };
  return { ended: gone(), kill: () => terminate(identity, { graceMs: 0, expectRunId: runId }) };
}
