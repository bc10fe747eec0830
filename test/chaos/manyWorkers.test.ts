import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { backoffDelayMs } from "../../shared/backoff.ts";
import { MembershipService, WorkerPhase } from "../../shared/gen/coord/v1/membership_pb.ts";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { Connection, type Endpoint } from "../../shared/rpc/client.ts";
import { CoordHome, eventually } from "../support/coord.ts";
import { smallRun } from "../support/smallRun.ts";

const why = process.env["COORD_CHAOS"] === "full" ? undefined : "npm run test:chaos runs it";
const [nodes, gpus] = [25, 8];
const count = nodes * gpus;

/** Joins as a worker does, and again when it loses the coordinator; computes nothing. */
class SimulatedWorker {
  generation = 0n;
  readonly #hangUp = new AbortController();
  readonly ended: Promise<void>;

  constructor(
    private readonly endpoint: Endpoint,
    private readonly runId: string,
    private readonly nodeRank: number,
    private readonly localRank: number,
  ) {
    this.ended = this.#run().catch(() => {});
  }

  stop(): void {
    this.#hangUp.abort();
  }

  async #run(): Promise<void> {
    const { localRank, nodeRank, runId } = this;
    const { signal } = this.#hangUp;
    const connection = new Connection(this.endpoint);
    const membership = connection.service(MembershipService);
    const member = { runId, workerId: `${nodeRank}/${localRank}`, incarnation: randomUUID() };
    const beat = setInterval(() => {
      const request = { member, generation: this.generation, step: 0n, phase: WorkerPhase.COMPUTING };
      membership.heartbeat(request, { timeoutMs: 2000 }).catch(() => {});
    }, 1000);
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await connection.reach(signal);
        const request = { member, nodeRank, localRank, pid: 10_000 + nodeRank, host: `node-${nodeRank}`, attempt: 0 };
        for await (const assignment of membership.join(request, { signal })) {
          attempt = 0;
          this.generation = assignment.generation;
        }
      } catch {
        // It tries again, as a worker does.
      }
      await new Promise((resolve) => setTimeout(resolve, backoffDelayMs(attempt, Math.random())));
    }
    clearInterval(beat);
    connection.close();
  }
}

describe.skipIf(why)(`${count} workers whose coordinator is killed${why ? ` (skipped: ${why})` : ""}`, () => {
  let home: CoordHome;
  beforeAll(async () => {
    home = await CoordHome.create();
  });
  afterAll(async () => {
    await home.coord(["kill-stale", "--all-runs"]);
    await home.remove();
  });

  it("are all back, each once, in a later generation", async () => {
    const delays = home.path("delay");
    const preload = join(packageRoot(), "test", "support", "eventLoopDelay.mjs");
    const size = ["--launcher", "none", "--nodes", `${nodes}`, "--gpus", `${gpus}`];
    const flags = [...(await smallRun(home, 2 * count)), ...size, "--output", home.path("output")];
    const env = { NODE_OPTIONS: `--import=${preload}`, EVENT_LOOP_DELAY: delays };
    const run = await home.launch(flags, env);
    const before = await eventually("the coordinator", async () => {
      try {
        return home.coordinator(run);
      } catch {
        return undefined;
      }
    });
    const token = readFileSync(join(home.home, "runs", run, "token"), "utf8").split("\n")[0]!;
    const workers = Array.from({ length: count }, (_, index) => {
      const endpoint = { address: before.address, token };
      return new SimulatedWorker(endpoint, run, Math.floor(index / gpus), index % gpus);
    });
    const allPast = (generation: bigint) =>
      eventually(`all past generation ${generation}`, async () =>
        workers.every((worker) => worker.generation > generation) ? true : undefined,
      );
    try {
      await allPast(0n);
      const first = workers[0]!.generation;
      const killedAt = performance.now();
      process.kill(before.process.pid, "SIGKILL");
      // As the agent on its host would; these workers have none.
      void execa(process.execPath, [join(packageRoot(), "dist", "coordinator", "main.js")], {
        env: { ...env, COORD_HOME: home.home, COORD_RUN_ID: run },
        stdio: "ignore",
        reject: false,
      });
      await allPast(first);
      const backMs = performance.now() - killedAt;
      const now = home.coordinator(run);
      expect(now.process.pid).not.toBe(before.process.pid);
      expect(new Set(workers.map(({ generation }) => generation)).size).toBe(1);
      // The figures of the last second, too.
      await new Promise((resolve) => setTimeout(resolve, 2000));
      const { longest, p99 } = JSON.parse(readFileSync(`${delays}.${now.process.pid}`, "utf8")) as {
        longest: number;
        p99: number;
      };
      console.log(
        `${count} workers back ${backMs.toFixed(0)} ms after the kill; the new coordinator's event loop was late by ` +
          `${p99.toFixed(1)} ms (p99), ${longest.toFixed(0)} ms at most`,
      );
    } finally {
      for (const worker of workers) worker.stop();
      await Promise.all(workers.map(({ ended }) => ended));
      await home.coord(["stop", "--now", run]);
    }
  });
});
