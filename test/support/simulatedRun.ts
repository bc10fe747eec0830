import { appendFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readAssets } from "../../coordinator/dashboard/assets.ts";
import { DashboardServer } from "../../coordinator/dashboard/dashboardServer.ts";
import type { EventKind } from "../../coordinator/observe/eventLog.ts";
import type { StatusDocument } from "../../coordinator/observe/renderStatus.ts";
import { RunDirectory } from "../../coordinator/runs/runDirectory.ts";
import { resolveConfig } from "../../shared/config/resolve.ts";

const createdAtMs = Date.UTC(2026, 10, 20, 21, 54);

/** A run that no process carries out: its files are written by the test, its status is what the test says. */
export class SimulatedRun {
  status: StatusDocument;
  /** What was asked of the run. */
  readonly asked: string[] = [];
  #sequence = 0;

  private constructor(
    readonly directory: RunDirectory,
    nodes: number,
    gpus: number,
  ) {
    this.status = statusOf(directory.runId, nodes, gpus);
  }

  static async create(home: string, { nodes, gpus, seed = 42 }: { nodes: number; gpus: number; seed?: number }) {
    const { config } = resolveConfig({ flags: { nodes, gpus, seed } });
    await mkdir(home, { recursive: true });
    const directory = await RunDirectory.create(home, { config, output: "/out", now: new Date(createdAtMs + seed) });
    return new SimulatedRun(directory, nodes, gpus);
  }

  /** Writes steps with a falling loss, a checkpoint each 1000 and a held-out loss each 500. */
  async steps(from: number, to: number): Promise<void> {
    const lines: string[] = [];
    for (let step = from; step <= to; step++) {
      const loss = 1.2 + 3.5 * Math.exp(-step / 2500) + 0.25 * Math.sin(step * 12.9898) * Math.cos(step * 4.1414);
      const wave = 1 + 0.1 * Math.sin(step / 40);
      lines.push(
        this.#line("step", `Step ${step}.`, {
          ...{ step, loss, learningRate: 2e-4 * Math.cos((step / 12_000) * (Math.PI / 2)), gradientNorm: 0.8 * wave },
          ...{ tokensPerSecond: 41_000 * wave, stepMs: 812 / wave, computeMs: 640 / wave, reduceMs: 120 / wave },
        }),
      );
      if (step % 500 === 0) lines.push(this.#line("evaluation", "Held out.", { step, loss: loss + 0.1 }));
      if (step % 1000 === 0) lines.push(this.#line("checkpoint", `Saved /out/checkpoint-${step}.`, { step }));
    }
    await appendFile(this.directory.paths.events, lines.join(""));
    const last = Math.max(from, to);
    this.status = {
      ...this.status,
      step: last,
      loss: 1.5,
      learningRate: 2e-4,
      tokensPerSecond: 41_000,
      etaSeconds: 5400,
    };
  }

  async event(kind: EventKind, message: string, data: object = {}): Promise<void> {
    await appendFile(this.directory.paths.events, this.#line(kind, message, data));
  }

  async log(rank: number, text: string): Promise<void> {
    const directory = join(this.directory.paths.logs, "attempt_0", String(rank));
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, "stderr.log"), text);
  }

  /** Changes one worker. */
  worker(rank: number, change: Partial<StatusDocument["workers"][number]>): void {
    const workers = this.status.workers.map((worker, index) => (index === rank ? { ...worker, ...change } : worker));
    this.status = { ...this.status, workers };
  }

  /** Serves the dashboard of this run on loopback, as its coordinator would. */
  async serve(): Promise<{ server: DashboardServer; url: string; token: string }> {
    const { home, runId } = this.directory;
    const ask = async (what: string) => void this.asked.push(what);
    const server = new DashboardServer({
      home,
      runId,
      own: {
        runId,
        status: () => this.status,
        stop: (now) => ask(`stop ${now}`),
        saveCheckpoint: () => ask("checkpoint").then(() => this.status.step),
        set: (change) => ask(`set ${change.saveSteps}`).then(() => change),
      },
      assets: await readAssets(),
      listen: "127.0.0.1",
      names: [],
    });
    const port = await server.listen(0);
    const adminToken = "admin-token-of-the-test";
    await writeFile(this.directory.paths.adminToken, `${adminToken}\n`);
    return { server, url: `http://127.0.0.1:${port}/`, token: adminToken };
  }

  #line(kind: EventKind, message: string, data: object): string {
    const sequence = ++this.#sequence;
    return `${JSON.stringify({ sequence, timeMs: createdAtMs + 812 * sequence, kind, message, data })}\n`;
  }
}

function statusOf(run: string, nodes: number, gpus: number): StatusDocument {
  const phases = ["computing", "computing", "computing", "reducing", "waiting"];
  return {
    ...{ run, state: "training", reason: `Training on ${nodes * gpus} workers.`, step: 0, maxSteps: 12_000 },
    ...{ generation: 1, worldSize: nodes * gpus, output: "/out", checkpoint: "/out/checkpoint-10000", adapter: null },
    ...{
      loss: null,
      learningRate: null,
      tokensPerSecond: null,
      etaSeconds: null,
      errorCode: null,
      exitCode: null,
      job: null,
    },
    workers: Array.from({ length: nodes * gpus }, (_, rank) => ({
      ...{ rank, node: Math.floor(rank / gpus), localRank: rank % gpus, pid: 4000 + rank, step: 0, silentMs: 400 },
      ...{ host: `gpu-${Math.floor(rank / gpus)}`, state: phases[rank % phases.length]!, restarts: 0 },
      ...{ residentBytes: 6.4e9, straggling: null },
      times: { dataMs: 2, computeMs: 640, waitMs: 40, reduceMs: 80, updateMs: 9 },
    })),
  };
}
