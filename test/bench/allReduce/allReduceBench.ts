import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { packageRoot } from "../../../shared/process/packageRoot.ts";
import { formatNumber, median, type Summary, summarize } from "../statistics.ts";
import { type Bandwidth, measureBandwidth, reduceFloorMs, sharedFloorMs } from "./floor.ts";
import { Rank, type RankCommand, RankGroup } from "./rankGroup.ts";

const sizes = [
  { name: "64 KiB", bytes: 64 * 1024, rounds: 20, maxBlocks: 9 },
  { name: "1 MiB", bytes: 1024 ** 2, rounds: 10, maxBlocks: 9 },
  { name: "16 MiB", bytes: 16 * 1024 ** 2, rounds: 5, maxBlocks: 9 },
  { name: "160 MiB", bytes: 160 * 1024 ** 2, rounds: 2, maxBlocks: 3 },
];
const workerCounts = [2, 4];
const ways = [
  { dataPlane: "grpc", format: "float32" },
  { dataPlane: "grpc", format: "bfloat16" },
  { dataPlane: "shared", format: "float32" },
] as const;

/** Figures of one size and number of workers, over blocks of rounds; times in milliseconds. */
export interface AllReduceCase {
  readonly size: string;
  readonly bytes: number;
  readonly workers: number;
  /** How the vectors travel between workers and coordinator. */
  readonly dataPlane: (typeof ways)[number]["dataPlane"];
  readonly format: (typeof ways)[number]["format"];
  readonly coordinatorMs: Summary;
  readonly floorMs: number;
  /** Absent where there is no torch. */
  readonly gloo?: Comparison;
  /** Absent where there is no OpenMPI. */
  readonly mpi?: Comparison;
}

interface Comparison {
  readonly ms: Summary;
  /** Coordinator's time over the other's, of neighbouring blocks. */
  readonly ratio: Summary;
}

/** The version of what is compared with, or why it is not. */
type Rival = { readonly version: string } | { readonly skipped: string };

export interface AllReduceResult {
  readonly blocks: number;
  readonly loadBefore: number;
  readonly bandwidth: Bandwidth;
  /** The torch that gloo comes with. */
  readonly torch: Rival;
  readonly mpi: Rival;
  readonly cases: readonly AllReduceCase[];
}

/** Times single rounds through a coordinator process, and through gloo and OpenMPI in turn where they are there. */
export async function measureAllReduce(
  blocks: number,
  signal: AbortSignal,
  onProgress: (line: string) => void,
): Promise<AllReduceResult> {
  const directory = await mkdtemp(join(tmpdir(), "coord-bench-reduce-"));
  try {
    const python = process.env["COORD_PYTHON"] || "python3";
    const torch = await torchOf(python);
    const program = join(directory, "mpi");
    const mpi = await buildMpi(program);
    if ("skipped" in torch) onProgress(`SKIPPED gloo: ${torch.skipped}`);
    if ("skipped" in mpi) onProgress(`SKIPPED OpenMPI: ${mpi.skipped}`);
    const rivals = { python: "version" in torch ? python : undefined, mpi: "version" in mpi ? program : undefined };
    const [loadBefore = 0] = loadavg();
    const bandwidth = await measureBandwidth(signal);
    const cases: AllReduceCase[] = [];
    for (const workers of workerCounts) {
      for (const way of ways) {
        await withGroups({ workers, ...way, ...rivals }, signal, async (groups) => {
          for (const size of sizes) {
            const measured = await measureSize(size, Math.min(blocks, size.maxBlocks), groups);
            const floorMs = floorOf(way, size.bytes, workers, bandwidth);
            cases.push({ size: size.name, bytes: size.bytes, workers, ...way, ...measured, floorMs });
            const ms = formatNumber(measured.coordinatorMs.median);
            onProgress(`all-reduce of ${size.name}, ${workers} workers, ${way.dataPlane} ${way.format}: ${ms} ms`);
          }
        });
      }
    }
    return { blocks, loadBefore, bandwidth, torch, mpi, cases };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

interface Groups {
  readonly coordinator: RankGroup;
  readonly gloo?: RankGroup | undefined;
  readonly mpi?: RankGroup | undefined;
}

async function measureSize(size: (typeof sizes)[number], blocks: number, { coordinator, gloo, mpi }: Groups) {
  const ours: number[] = [];
  const ofGloo: number[] = [];
  const ofMpi: number[] = [];
  for (let block = 0; block < blocks; block++) {
    ours.push(await medianRound(coordinator, size.bytes, size.rounds));
    if (gloo) ofGloo.push(await medianRound(gloo, size.bytes, size.rounds));
    if (mpi) ofMpi.push(await medianRound(mpi, size.bytes, size.rounds));
  }
  const compare = (theirs: number[]): Comparison => ({
    ms: summarize(theirs),
    ratio: summarize(theirs.map((ms, block) => ours[block]! / ms)),
  });
  return {
    coordinatorMs: summarize(ours),
    ...(gloo && { gloo: compare(ofGloo) }),
    ...(mpi && { mpi: compare(ofMpi) }),
  };
}

function floorOf({ dataPlane, format }: (typeof ways)[number], bytes: number, workers: number, bandwidth: Bandwidth) {
  if (dataPlane === "shared") return sharedFloorMs(bytes, workers, bandwidth);
  return reduceFloorMs(bytes, workers, bandwidth, format === "bfloat16" ? bytes / 2 : bytes);
}

/** The first round of a block, in which the processes wake up one after the other, is not counted. */
async function medianRound(group: RankGroup, bytes: number, rounds: number): Promise<number> {
  const [, ...counted] = await group.rounds({ bytes, rounds: rounds + 1 });
  return median(counted);
}

async function withGroups(
  options: {
    readonly workers: number;
    readonly dataPlane: string;
    readonly format: string;
    readonly python: string | undefined;
    readonly mpi: string | undefined;
  },
  signal: AbortSignal,
  work: (groups: Groups) => Promise<void>,
): Promise<void> {
  const { dataPlane, format, mpi, python, workers } = options;
  const directory = await mkdtemp(join(tmpdir(), "coord-bench-reduce-"));
  const token = randomUUID();
  const env = { BENCH_TOKEN: token, BENCH_DATA_PLANE: dataPlane, BENCH_FORMAT: format, COORD_HOME: directory };
  const server = new Rank(
    { file: process.execPath, args: [sibling("coordinatorProcess.js"), String(workers)], env },
    signal,
  );
  const groups: RankGroup[] = [];
  const start = async (commands: readonly RankCommand[]) => {
    const group = await RankGroup.start(commands, signal);
    groups.push(group);
    return group;
  };
  const ranks = (command: (rank: string) => RankCommand) =>
    start(Array.from({ length: workers }, (_, rank) => command(String(rank))));
  try {
    const address = `127.0.0.1:${await server.line()}`;
    const worker = sibling("workerProcess.js");
    const coordinator = await ranks((rank) => ({ file: process.execPath, args: [worker, address, rank], env }));
    const gloo =
      python === undefined
        ? undefined
        : await ranks((rank) => ({
            file: python,
            args: [source("gloo.py"), rank, String(workers), join(directory, "rendezvous")],
            env: { GLOO_SOCKET_IFNAME: "lo" },
          }));
    const mpiGroup = mpi === undefined ? undefined : await start([mpiCommand(mpi, workers)]);
    await work({ coordinator, gloo, mpi: mpiGroup });
  } finally {
    for (const group of groups) await group.close();
    await server.close();
    await rm(directory, { recursive: true, force: true });
  }
}

function mpiCommand(program: string, workers: number): RankCommand {
  const asRoot = process.getuid?.() === 0 ? ["--allow-run-as-root"] : [];
  return { file: "mpirun", args: [...asRoot, "--oversubscribe", "-n", String(workers), program], env: {} };
}

function sibling(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

/** A file that is not compiled into dist/. */
function source(name: string): string {
  return join(packageRoot(), "test", "bench", "allReduce", name);
}

async function torchOf(python: string): Promise<Rival> {
  const program = "import torch.distributed as d, torch; assert d.is_gloo_available(); print(torch.__version__)";
  const { exitCode, stdout } = await execa(python, ["-c", program], { reject: false, stdin: "ignore" });
  return exitCode === 0
    ? { version: stdout.trim() }
    : { skipped: `${python} has no torch (COORD_PYTHON names another Python)` };
}

async function buildMpi(program: string): Promise<Rival> {
  const options = { reject: false, stdin: "ignore" } as const;
  const { stdout } = await execa("mpirun", ["--version"], options);
  const version = /\(Open MPI\) (\S+)/.exec(stdout ?? "")?.[1];
  if (version === undefined) return { skipped: "there is no mpirun of OpenMPI" };
  const built = await execa("mpicc", ["-O2", "-o", program, source("mpi.c")], options);
  if (built.exitCode !== 0) return { skipped: "mpicc is missing or cannot compile (OpenMPI's headers, gcc)" };
  return { version };
}
