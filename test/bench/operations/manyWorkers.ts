import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { RunDirectory } from "../../../coordinator/runs/runDirectory.ts";
import { packageRoot } from "../../../shared/process/packageRoot.ts";
import { writeRandomModel } from "../../support/randomModel.ts";
import { processorSeconds, residentBytes } from "./processUse.ts";
import { Watcher } from "./watcher.ts";

const command = join(packageRoot(), "dist", "coordinator", "cli", "main.js");
const ownProgram = (name: string) => fileURLToPath(new URL(`./${name}.js`, import.meta.url));

/** What a coordinator takes to keep watch over many workers. */
export interface ManyWorkers {
  readonly workers: number;
  readonly seconds: number;
  readonly heartbeatsPerSecond: number;
  readonly failed: number;
  /** From a heartbeat's sending to its answer, in the simulated workers' process. */
  readonly medianMs: number;
  readonly longestMs: number;
  /** Processor seconds per second of the coordinator's process. */
  readonly cores: number;
  /** Resident bytes at the end, and the most that they have been since its start. */
  readonly residentBytes: number;
  readonly peakBytes: number;
  /** True with a dashboard's stream open and a status asked for each second. */
  readonly watched: boolean;
}

const tinyModel = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  intermediate_size: 16,
  vocab_size: 320,
  tie_word_embeddings: true,
};

/** The run's real coordinator process, and its workers in one other process: a connection and a heartbeat a second each. */
export async function measureManyWorkers(
  { gpus, nodes, seconds }: { readonly nodes: number; readonly gpus: number; readonly seconds: number },
  signal: AbortSignal,
): Promise<ManyWorkers[]> {
  const directory = await mkdtemp(join(tmpdir(), "coord-bench-many-"));
  const home = join(directory, "home");
  const env = { ...process.env, COORD_HOME: home };
  const [model, data] = [join(directory, "model"), join(directory, "rows.jsonl")];
  await writeRandomModel(model, tinyModel);
  await writeFile(data, Array.from({ length: 2 * nodes * gpus }, (_, at) => `{"text":"row ${at}"}\n`).join(""));
  const flags = [
    "--model",
    model,
    "--data",
    data,
    "--output",
    join(directory, "output"),
    "--launcher",
    "none",
    "--dashboard",
  ];
  const size = [
    "--nodes",
    String(nodes),
    "--gpus",
    String(gpus),
    "--form-timeout-ms",
    "600000",
    "--heartbeat-timeout-ms",
    "30000",
  ];
  try {
    const { stdout } = await execa(process.execPath, [command, "launch", "--detach", ...flags, ...size], { env });
    const run = stdout.trim();
    const runDirectory = new RunDirectory(home, run);
    let pid: number | undefined;
    try {
      for (let looks = 0; pid === undefined && looks < 600; looks++) {
        pid = (await runDirectory.readCoordinator().catch(() => undefined))?.process.pid;
        await sleep(100, undefined, { signal });
      }
      // Until the data set is prepared and workers may join.
      await sleep(3000);
      const workers = execa(
        process.execPath,
        [ownProgram("simulatedWorkersProcess"), home, run, String(nodes), String(gpus)],
        {
          reject: false,
          buffer: false,
          stderr: "inherit",
          stdin: "pipe",
        },
      );
      const lines = createInterface({ input: workers.stdout })[Symbol.asyncIterator]();
      const ask = async (): Promise<Beats> => {
        workers.stdin.write("?\n");
        return JSON.parse((await lines.next()).value as string) as Beats;
      };
      try {
        await lines.next();
        const results: ManyWorkers[] = [];
        for (const watched of [false, true]) {
          const watcher = watched ? new Watcher(home, run) : undefined;
          await watcher?.turn("on");
          await sleep(3000, undefined, { signal });
          await ask();
          const [began, used] = [performance.now(), processorSeconds(pid!)];
          await sleep(seconds * 1000, undefined, { signal });
          const beats = await ask();
          const took = (performance.now() - began) / 1000;
          const { now, peak } = residentBytes(pid!);
          await watcher?.end();
          results.push({
            ...{ workers: nodes * gpus, seconds: took, watched, failed: beats.failed, medianMs: beats.medianMs },
            longestMs: beats.longestMs,
            heartbeatsPerSecond: beats.answered / took,
            cores: (processorSeconds(pid!) - used) / took,
            residentBytes: now,
            peakBytes: peak,
          });
        }
        return results;
      } finally {
        workers.stdin.end();
        workers.kill("SIGTERM");
        await workers;
      }
    } finally {
      await execa(process.execPath, [command, "stop", "--now", run], { env, reject: false });
      for (let looks = 0; looks < 300 && pid !== undefined && isThere(pid); looks++) await sleep(100);
    }
  } finally {
    await rm(directory, { recursive: true, force: true, maxRetries: 10 });
  }
}

interface Beats {
  readonly answered: number;
  readonly failed: number;
  readonly medianMs: number;
  readonly longestMs: number;
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
