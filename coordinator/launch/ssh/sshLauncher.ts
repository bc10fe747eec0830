import { join } from "node:path";
import { backoffDelayMs } from "../../../shared/backoff.ts";
import { systemClock } from "../../../shared/clock.ts";
import { type HostEntry, hostsOf } from "../../../shared/config/hosts.ts";
import type { RunConfig } from "../../../shared/config/schema.ts";
import { endLine, type Placement } from "../../../shared/hosts/messages.ts";
import type { Launcher, LaunchOptions } from "../launcher.ts";
import { decideNext, type NodeView } from "./decideNext.ts";
import { describeSshEnd } from "./describeSshEnd.ts";
import { remoteCommand } from "./remoteCommand.ts";
import { openSession, type SshEnd, type SshSession } from "./sshSession.ts";
import { startWatch, type Watch } from "./watchCoordinator.ts";

export interface SshLauncherOptions extends LaunchOptions {
  readonly config: RunConfig;
  /** True where an earlier coordinator of the run has started agents, which come by themselves. */
  readonly continued: boolean;
  /** Credentials by the variable that names their file. */
  credentials(): Promise<Record<string, string>>;
  isHere(nodeRank: number): boolean;
  onTrouble(nodeRank: number, message: string): void;
}

/** Milliseconds that agents have to end after they were ordered to, workers' grace included. */
const stopTimeoutMs = 15_000;
/** Milliseconds that an agent has to end after ssh has told it to. */
const endTimeoutMs = 10_000;
/** Milliseconds between two looks at a node. */
const lookMs = 250;
/** Waits in front of a host that cannot be reached. */
const retryPolicy = { firstMs: 500, maxMs: 10_000 };

/** Starts agents on other hosts with the system's ssh, one connection per host, and starts them again when they are gone. */
export class SshLauncher implements Launcher {
  readonly #sessions = new Map<number, SshSession>();
  readonly #nodes: Promise<void>[] = [];
  #watch: Watch | undefined;
  readonly #stopping = new AbortController();

  constructor(private readonly options: SshLauncherOptions) {}

  async start(): Promise<void> {
    const { home, logs, processes, runId } = this.options;
    this.#watch = await startWatch({ home, runId, processes, log: join(logs, "watch.log") });
    for (const [nodeRank, host] of hostsOf(this.options.config).entries()) {
      this.#nodes.push(this.#keep(nodeRank, host));
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#watch?.end();
    const ended = Promise.all(this.#nodes);
    if (await within(ended, stopTimeoutMs)) return;
    for (const session of this.#sessions.values()) session.send(endLine);
    if (await within(ended, endTimeoutMs)) return;
    // An agent that is cut off ends itself after --reconnect-budget-ms.
    for (const session of this.#sessions.values()) session.kill();
    await ended;
  }

  /** Has an agent on one node as long as the run goes on. */
  async #keep(nodeRank: number, host: HostEntry): Promise<void> {
    const view: NodeView = {
      earlier: this.options.continued ? "connected before" : "none",
      failures: 0,
      absentMs: 0,
    };
    let how = "is gone";
    for (let seen = systemClock.monotonicMs(); !this.#stopping.signal.aborted; ) {
      if (this.options.isHere(nodeRank)) seen = systemClock.monotonicMs();
      const next = decideNext({ ...view, absentMs: systemClock.monotonicMs() - seen });
      if (next === "wait") {
        await this.#pause(lookMs);
        continue;
      }
      if (next === "start again" && this.options.onAgentExit(nodeRank, how) === "leave") return;
      const { end, started } = await this.#session(nodeRank, host);
      if (this.#stopping.signal.aborted) return;
      how = describeSshEnd(host, end, started);
      if (started) {
        view.failures = 0;
        view.earlier = end.exitCode === 255 || end.exitCode === -1 ? "connected before" : "ended";
        seen = systemClock.monotonicMs();
        continue;
      }
      if (view.failures++ === 0) this.options.onTrouble(nodeRank, `${how} Trying again.`);
      // What was counted once is not counted again for each attempt.
      view.earlier = "none";
      await this.#pause(backoffDelayMs(view.failures, Math.random(), retryPolicy));
    }
    // An agent whose connection is not ours ends on the coordinator's order.
    const deadline = systemClock.monotonicMs() + stopTimeoutMs;
    while (this.options.isHere(nodeRank) && systemClock.monotonicMs() < deadline) await systemClock.sleep(lookMs);
  }

  async #session(nodeRank: number, host: HostEntry): Promise<{ end: SshEnd; started: boolean }> {
    const { config } = this.options;
    const placement = await this.#placement(nodeRank);
    let started = false;
    const session = openSession(host, [...remoteCommand(config), "agent", "--from-stdin"], config, () => {
      started = true;
    });
    this.#sessions.set(nodeRank, session);
    session.send(JSON.stringify(placement));
    const end = await session.ended;
    this.#sessions.delete(nodeRank);
    return { end, started };
  }

  #pause(milliseconds: number): Promise<void> {
    return systemClock.sleep(milliseconds, this.#stopping.signal).catch(() => {});
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

/** The variables that the user names: NAME=VALUE, or NAME for the value that it has here. */
export function givenVariables({ env }: Pick<RunConfig, "env">, here: NodeJS.ProcessEnv): Record<string, string> {
  const pairs = env.map((text) => {
    const at = text.indexOf("=");
    return at < 0 ? [text, here[text] ?? ""] : [text.slice(0, at), text.slice(at + 1)];
  });
  return Object.fromEntries(pairs);
}

async function within(work: Promise<unknown>, milliseconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), milliseconds);
  });
  const result = await Promise.race([work.then(() => true), late]);
  clearTimeout(timer);
  return result;
}
