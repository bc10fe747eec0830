import { backoffDelayMs } from "../../shared/backoff.ts";
import { systemClock } from "../../shared/clock.ts";
import { decideNext, type NodeView } from "./decideNext.ts";
import type { Launcher, LaunchOptions } from "./launcher.ts";

/** What a launcher of agents on other hosts needs to know beside LaunchOptions. */
export interface KeeperOptions extends LaunchOptions {
  /** True where an earlier coordinator of the run has crashed: agents that it started come by themselves. */
  readonly afterCrash: boolean;
  /** True while the agent of a node is connected to the coordinator. */
  isHere(nodeRank: number): boolean;
  onTrouble(nodeRank: number, message: string): void;
}

/** One start of an agent on a node. */
export interface AgentStart {
  readonly ended: Promise<AgentEnd>;
  /** Has the agent ended. */
  end(): void;
  /** Gives the connection to it up. */
  kill(): void;
}

export interface AgentEnd {
  /** The agent came to life. */
  readonly started: boolean;
  /** Only the connection to it ended; it may still be there. */
  readonly lost: boolean;
  /** How, as a predicate: "ended with exit code 1". */
  readonly how: string;
}

/** Milliseconds that agents have to end after they were ordered to, workers' grace included. */
const stopTimeoutMs = 15_000;
/** Milliseconds that an agent has to end after its launcher has told it to. */
const endTimeoutMs = 10_000;
/** Milliseconds between two looks at a node. */
const lookMs = 250;
/** Waits in front of a host that cannot be reached. */
const retryPolicy = { firstMs: 500, maxMs: 10_000 };

/** Keeps one agent running on each node; `startAgent` is all that differs between ssh and Slurm. */
export class AgentKeeper implements Launcher {
  readonly #starts = new Map<number, AgentStart>();
  readonly #nodes: Promise<void>[] = [];
  readonly #stopping = new AbortController();

  constructor(
    private readonly options: KeeperOptions,
    private readonly startAgent: (nodeRank: number) => Promise<AgentStart>,
  ) {}

  async start(): Promise<void> {
    for (let nodeRank = 0; nodeRank < this.options.nodes; nodeRank++) this.#nodes.push(this.#keep(nodeRank));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    const ended = Promise.all(this.#nodes);
    if (await within(ended, stopTimeoutMs)) return;
    for (const start of this.#starts.values()) start.end();
    if (await within(ended, endTimeoutMs)) return;
    // An agent that is cut off ends itself after --reconnect-budget-ms.
    for (const start of this.#starts.values()) start.kill();
    await ended;
  }

  async #keep(nodeRank: number): Promise<void> {
    const view: NodeView = { earlier: this.options.afterCrash ? "perhaps left behind" : "none", absentMs: 0 };
    let how = "is gone";
    let failures = 0;
    for (let seen = systemClock.monotonicMs(); !this.#stopping.signal.aborted; ) {
      if (this.options.isHere(nodeRank)) {
        seen = systemClock.monotonicMs();
        if (view.earlier === "perhaps left behind") view.earlier = "connected before";
      }
      const next = decideNext({ ...view, absentMs: systemClock.monotonicMs() - seen });
      if (next === "wait") {
        await this.#pause(lookMs);
        continue;
      }
      if (next === "start again" && this.options.onAgentExit(nodeRank, how) === "leave") return;
      const start = await this.startAgent(nodeRank);
      this.#starts.set(nodeRank, start);
      const end = await start.ended;
      this.#starts.delete(nodeRank);
      if (this.#stopping.signal.aborted) return;
      how = end.how;
      if (end.started) {
        failures = 0;
        view.earlier = end.lost ? "connected before" : "ended";
        seen = systemClock.monotonicMs();
        continue;
      }
      if (failures++ === 0) this.options.onTrouble(nodeRank, `${how} Trying again.`);
      // What was counted once is not counted again for each attempt.
      view.earlier = "none";
      await this.#pause(backoffDelayMs(failures, Math.random(), retryPolicy));
    }
    // An agent whose connection is not ours ends on the coordinator's order.
    const deadline = systemClock.monotonicMs() + stopTimeoutMs;
    while (this.options.isHere(nodeRank) && systemClock.monotonicMs() < deadline) await systemClock.sleep(lookMs);
  }

  #pause(milliseconds: number): Promise<void> {
    return systemClock.sleep(milliseconds, this.#stopping.signal).catch(() => {});
  }
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
