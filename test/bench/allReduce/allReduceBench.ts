import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { packageRoot } from "../../../shared/process/packageRoot.ts";
import { formatNumber, median, type Summary, summarize } from "../statistics.ts";
import { type Bandwidth, measureBandwidth, reduceFloorMs } from "./floor.ts";
import { Rank, RankGroup } from "./rankGroup.ts";

const sizes = [
  { name: "64 KiB", bytes: 64 * 1024, rounds: 20 },
  { name: "1 MiB", bytes: 1024 ** 2, rounds: 20 },
  { name: "16 MiB", bytes: 16 * 1024 ** 2, rounds: 5 },
];
const workerCounts = [2, 4];
const dataPlanes = ["grpc", "shared"] as const;

/** Figures of one size and number of workers, over blocks of rounds; times in milliseconds. */
export interface AllReduceCase {
  readonly size: string;
  readonly bytes: number;
  readonly workers: number;
  /** How the vectors travel between workers and coordinator. */
  readonly dataPlane: (typeof dataPlanes)[number];
  readonly coordinatorMs: Summary;
  readonly floorMs: number;
  /** Absent where there is no torch. */
  readonly gloo?: {
    readonly ms: Summary /** Coordinator's time over gloo's, of neighbouring blocks. */;
    readonly ratio: Summary;
  };
}

export interface AllReduceResult {
  readonly blocks: number;
  readonly bandwidth: Bandwidth;
  /** Version of the torch that gloo came with, or why there was none. */
  readonly torch: { readonly version: string } | { readonly skipped: string };
  readonly cases: readonly AllReduceCase[];
}

/** Times single rounds through a coordinator process, and through gloo in turn where Python has torch. */
export async function measureAllReduce(
  blocks: number,
  signal: AbortSignal,
  onProgress: (line: string) => void,
): Promise<AllReduceResult> {
  const python = process.env["COORD_PYTHON"] || "python3";
  const version = await torchVersion(python);
  if (version === undefined) onProgress(`SKIPPED gloo: ${python} has no torch (COORD_PYTHON names another Python)`);
  const bandwidth = await measureBandwidth(signal);
  for (const workers of workerCounts) {
    for (const { bytes, name } of sizes) {
      onProgress(
        `floor of ${name} over ${workers} workers: ${formatNumber(reduceFloorMs(bytes, workers, bandwidth))} ms`,
      );
    }
  }
  const cases: AllReduceCase[] = [];
  for (const workers of workerCounts) {
    for (const dataPlane of dataPlanes) {
      const kind = { workers, dataPlane, python: version === undefined ? undefined : python };
      await withGroups(kind, signal, async (coordinator, gloo) => {
        for (const { bytes, name, rounds } of sizes) {
          const ours: number[] = [];
          const theirs: number[] = [];
          for (let block = 0; block < blocks; block++) {
            ours.push(await medianRound(coordinator, bytes, rounds));
            if (gloo) theirs.push(await medianRound(gloo, bytes, rounds));
          }
          const ratio = () => summarize(theirs.map((ms, block) => ours[block]! / ms));
          cases.push({
            size: name,
            bytes,
            workers,
            dataPlane,
            coordinatorMs: summarize(ours),
            floorMs: reduceFloorMs(bytes, workers, bandwidth),
            ...(gloo ? { gloo: { ms: summarize(theirs), ratio: ratio() } } : {}),
          });
          onProgress(`all-reduce of ${name} over ${workers} workers (${dataPlane}): ${formatNumber(median(ours))} ms`);
        }
      });
    }
  }
  const torch = version === undefined ? { skipped: "no Python with torch was found" } : { version };
  return { blocks, bandwidth, torch, cases };
}

/** The first round of a block, in which the processes wake up one after the other, is not counted. */
async function medianRound(group: RankGroup, bytes: number, rounds: number): Promise<number> {
  const [, ...counted] = await group.rounds({ bytes, rounds: rounds + 1 });
  return median(counted);
}

async function withGroups(
  { dataPlane, python, workers }: { dataPlane: string; python: string | undefined; workers: number },
  signal: AbortSignal,
  work: (coordinator: RankGroup, gloo: RankGroup | undefined) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "coord-bench-reduce-"));
  const env = { BENCH_TOKEN: randomUUID(), BENCH_DATA_PLANE: dataPlane, COORD_HOME: directory };
  const server = new Rank(
    { file: process.execPath, args: [sibling("coordinatorProcess.js"), String(workers)], env },
    signal,
  );
  const groups: RankGroup[] = [];
  const start = async (command: (rank: string) => { file: string; args: string[]; env: Record<string, string> }) => {
    const commands = Array.from({ length: workers }, (_, rank) => command(String(rank)));
    const group = await RankGroup.start(commands, signal);
    groups.push(group);
    return group;
  };
  try {
    const address = `127.0.0.1:${await server.line()}`;
    const worker = sibling("workerProcess.js");
    const coordinator = await start((rank) => ({ file: process.execPath, args: [worker, address, rank], env }));
    // Python sources are not compiled into dist/.
    const script = join(packageRoot(), "test", "bench", "allReduce", "gloo.py");
    const gloo = python
      ? await start((rank) => ({
          file: python,
          args: [script, rank, String(workers), join(directory, "rendezvous")],
          env: { GLOO_SOCKET_IFNAME: "lo" },
        }))
      : undefined;
    await work(coordinator, gloo);
  } finally {
    for (const group of groups) await group.close();
    await server.close();
    await rm(directory, { recursive: true, force: true });
  }
}

function sibling(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

async function torchVersion(python: string): Promise<string | undefined> {
  const program = "import torch.distributed as d, torch; assert d.is_gloo_available(); print(torch.__version__)";
  const { exitCode, stdout } = await execa(python, ["-c", program], { reject: false, stdin: "ignore" });
  return exitCode === 0 ? stdout.trim() : undefined;
}
