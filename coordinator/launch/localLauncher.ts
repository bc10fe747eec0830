import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type LoggedProcess, spawnLogged } from "../../shared/process/spawnLogged.ts";
import type { Launcher, LaunchOptions } from "./launcher.ts";

/** The agent's program. A process boundary, not an import: the coordinator's source knows nothing of the worker's. */
const entry = fileURLToPath(new URL("../../worker/agentMain.js", import.meta.url));

/** Milliseconds that agents have to end after they were ordered to, workers' grace included. */
const stopTimeoutMs = 15_000;

/** Simulates the nodes of a run on this host: one agent process each. */
export class LocalLauncher implements Launcher {
  readonly #agents = new Map<number, { readonly process: LoggedProcess; readonly ended: Promise<void> }>();
  #stopping = false;

  constructor(private readonly options: LaunchOptions) {}

  async start(): Promise<void> {
    await mkdir(this.options.logs, { recursive: true });
    for (let nodeRank = 0; nodeRank < this.options.nodes; nodeRank++) await this.#startAgent(nodeRank);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const timer = setTimeout(() => {
      for (const agent of this.#agents.values()) agent.process.kill("SIGKILL");
    }, stopTimeoutMs);
    await Promise.all([...this.#agents.values()].map(({ ended }) => ended));
    clearTimeout(timer);
  }

  async #startAgent(nodeRank: number): Promise<void> {
    const { address, home, logs, reconnectBudgetMs, runId, tlsCa, tokenFile } = this.options;
    const log = join(logs, `agent_${nodeRank}.log`);
    const child = await spawnLogged({
      program: entry,
      args: ["--join", address, "--node-rank", String(nodeRank)],
      env: {
        COORD_RUN_ID: runId,
        COORD_HOME: home,
        COORD_TOKEN_FILE: tokenFile,
        COORD_RECONNECT_BUDGET_MS: String(reconnectBudgetMs),
        ...(tlsCa === undefined ? {} : { COORD_TLS_CA: tlsCa }),
      },
      stdout: log,
      stderr: log,
    });
    const ended = child.ended.then(async ({ exitCode, signal }) => {
      this.#agents.delete(nodeRank);
      if (this.#stopping) return;
      const how = signal ? `was ended by ${signal}` : `ended with exit code ${exitCode}`;
      if (this.options.onAgentExit(nodeRank, how) === "restart") await this.#startAgent(nodeRank);
    });
    this.#agents.set(nodeRank, { process: child, ended });
  }
}
