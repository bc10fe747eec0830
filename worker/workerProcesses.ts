import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { StartWorker } from "../shared/gen/coord/v1/agent_pb.ts";
import { type LoggedProcess, spawnLogged } from "../shared/process/spawnLogged.ts";
import { workerLogDirectory } from "../shared/runPaths.ts";
import { allocatorEnvironment } from "./allocatorEnvironment.ts";
import { explainKill } from "./explainKill.ts";
import { killEvidence, limitKills } from "./killEvidence.ts";
import { visibleDevice } from "./visibleDevice.ts";

/** How a worker process ended. */
export interface WorkerExit {
  readonly localRank: number;
  readonly attempt: number;
  /** -1 when a signal ended the process. */
  readonly exitCode: number;
  readonly signal: string;
  readonly lastLines: string;
  /** Who killed it, where it was killed and not by us. */
  readonly explanation: string;
}

interface WorkerProcess {
  readonly attempt: number;
  /** Files that it writes to. */
  readonly logs: readonly string[];
  readonly process: LoggedProcess;
  readonly ended: Promise<void>;
  /** True when its end was ordered. */
  ordered: boolean;
}

/** Lines of standard error that go into a report. */
const lastLineCount = 20;

const entry = fileURLToPath(new URL("./main.js", import.meta.url));

/** The worker processes of one node. */
export class WorkerProcesses {
  readonly #running = new Map<number, WorkerProcess>();

  constructor(
    private readonly options: {
      readonly logs: string;
      onExit(exit: WorkerExit): void;
    },
  ) {}

  /** Files that running workers write to. */
  get logs(): string[] {
    return [...this.#running.values()].flatMap(({ logs }) => logs);
  }

  get running(): { localRank: number; attempt: number }[] {
    return [...this.#running].map(([localRank, { attempt }]) => ({ localRank, attempt }));
  }

  /** Starts a worker; one that still runs at the same place is ended first. */
  async start(order: StartWorker): Promise<void> {
    const { attempt, environment, localRank } = order;
    await this.stop(localRank, 0);
    const directory = workerLogDirectory(this.options.logs, attempt, Number(environment["RANK"]));
    await mkdir(directory, { recursive: true });
    const [stdout, stderr] = [join(directory, "stdout.log"), join(directory, "stderr.log")];
    const child = await spawnLogged({
      program: entry,
      args: [],
      env: {
        ...allocatorEnvironment(process.env),
        ...environment,
        CUDA_VISIBLE_DEVICES: visibleDevice(environment["CUDA_VISIBLE_DEVICES"]!, process.env["CUDA_VISIBLE_DEVICES"]),
      },
      stdout,
      stderr,
    });
    const killsBefore = limitKills();
    const ended = child.ended.then(async ({ exitCode, signal }) => {
      if (this.#running.get(localRank)?.attempt === attempt) this.#running.delete(localRank);
      const killed = (signal === "SIGKILL" || exitCode === 137) && !worker.ordered;
      const explanation = killed ? explainKill(await killEvidence(child.pid, killsBefore)) : "";
      this.options.onExit({
        localRank,
        attempt,
        exitCode,
        signal,
        lastLines: await readLastLines(stderr),
        explanation,
      });
    });
    const worker: WorkerProcess = { attempt, logs: [stdout, stderr], process: child, ended, ordered: false };
    this.#running.set(localRank, worker);
  }

  /** SIGTERM, `graceMs`, SIGKILL; resolves when the process has ended. */
  async stop(localRank: number, graceMs: number): Promise<void> {
    const worker = this.#running.get(localRank);
    if (!worker) return;
    worker.ordered = true;
    worker.process.kill(graceMs > 0 ? "SIGTERM" : "SIGKILL");
    const kill = setTimeout(() => worker.process.kill("SIGKILL"), graceMs);
    await worker.ended;
    clearTimeout(kill);
  }

  async stopAll(graceMs: number): Promise<void> {
    await Promise.all([...this.#running.keys()].map((localRank) => this.stop(localRank, graceMs)));
  }
}

async function readLastLines(path: string): Promise<string> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.trimEnd().split("\n").slice(-lastLineCount).join("\n");
}
