import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { packageRoot } from "../../../shared/process/packageRoot.ts";
import { runPaths } from "../../../shared/runPaths.ts";
import { CoordHome } from "../../support/coord.ts";
import { killEverything, processesOf } from "../../support/killEverything.ts";
import { smallRun } from "../../support/smallRun.ts";
import { type Summary, summarize } from "../statistics.ts";
import { closePlaces, type LaunchPlace, openPlaces } from "./places.ts";

/** From the start of a command until its 16 ranks are one group, in milliseconds. */
export interface LaunchResult {
  readonly name: string;
  /** Until the coordinator begins: command line, checks of the configuration and of where the agents go. */
  readonly coordinatorMs: Summary;
  /** Until it has the data set and orders agents. */
  readonly orderedMs: Summary;
  /** Until the first agent is there. */
  readonly agentMs: Summary;
  readonly joinedMs: Summary;
  /** Over torchrun's neighbouring launch; absent where there is no torch. */
  readonly ratio?: Summary;
}

export interface LaunchResults {
  readonly launchers: readonly LaunchResult[];
  readonly torchrun: { readonly version: string; readonly joinedMs: Summary } | { readonly skipped: string };
}

const nodes = 2;
const gpus = 8;
export const launchedRanks = nodes * gpus;

/** Launches `repetitions` times with each launcher, a launch of torchrun's in front of each round. */
export async function measureLaunch(
  repetitions: number,
  signal: AbortSignal,
  onLine: (line: string) => void,
): Promise<LaunchResults> {
  const home = await CoordHome.create();
  const model = [...(await smallRun(home)), "--max-steps", "1", "--save-steps", "0", "--device", "cpu"];
  const python = await findTorch();
  if ("skipped" in python) onLine(`SKIPPED torchrun: ${python.skipped}`);
  const places = await openPlaces(home, gpus, onLine);
  try {
    const rounds = new Map<string, Moments[]>(places.map(({ name }) => [name, []]));
    const theirs: number[] = [];
    for (let round = 0; round < repetitions; round++) {
      if ("command" in python) {
        theirs.push(await launchTorchrun(python.command, signal));
        onLine(`launch, torchrun: ${Math.round(theirs.at(-1)!)} ms`);
      }
      for (const place of places) {
        const moments = await launchOurs(
          home,
          place,
          [...model, "--output", home.path(`${place.name}${round}`)],
          signal,
        );
        rounds.get(place.name)!.push(moments);
        onLine(`launch, ${place.name}: ${Math.round(moments.joinedMs)} ms`);
      }
    }
    const launchers = places.map(({ name }) => summarizeLaunches(name, rounds.get(name)!, theirs));
    const torchrun = "skipped" in python ? python : { version: python.version, joinedMs: summarize(theirs) };
    return { launchers, torchrun };
  } finally {
    await closePlaces(places);
    await home.remove();
  }
}

type Moments = Readonly<Record<"coordinatorMs" | "orderedMs" | "agentMs" | "joinedMs", number>>;

function summarizeLaunches(name: string, rounds: readonly Moments[], theirs: readonly number[]): LaunchResult {
  const over = (key: keyof Moments) => summarize(rounds.map((moments) => moments[key]));
  return {
    name,
    coordinatorMs: over("coordinatorMs"),
    orderedMs: over("orderedMs"),
    agentMs: over("agentMs"),
    joinedMs: over("joinedMs"),
    ...(theirs.length > 0 ? { ratio: summarize(rounds.map(({ joinedMs }, round) => joinedMs / theirs[round]!)) } : {}),
  };
}

interface RunEvent {
  readonly kind: string;
  readonly timeMs: number;
  readonly message: string;
  readonly data?: { readonly members?: number; readonly nodeRank?: number };
}

async function launchOurs(
  home: CoordHome,
  { env, flags }: LaunchPlace,
  model: readonly string[],
  signal: AbortSignal,
): Promise<Moments> {
  signal.throwIfAborted();
  const startedAtMs = Date.now();
  const runId = await home.launch([...model, ...flags], env);
  const paths = runPaths(home.home, runId);
  try {
    while (!existsSync(paths.result)) await sleep(100, undefined, { signal });
    // What is left of one launch would slow the next one down.
    while (processesOf(runId).length > 0) await sleep(100, undefined, { signal });
  } catch (thrown) {
    // It was started to outlive its terminal.
    await killEverything(runId);
    throw thrown;
  }
  const text = await readFile(paths.events, "utf8");
  const events = text.split("\n").flatMap((line) => (line.endsWith("}") ? [JSON.parse(line) as RunEvent] : []));
  const since = (what: string, is: (event: RunEvent) => boolean) => {
    const event = events.find(is);
    if (event === undefined) throw new Error(`Run ${runId} never came to: ${what}\n${text.slice(-3000)}`);
    return event.timeMs - startedAtMs;
  };
  return {
    coordinatorMs: since("its first event", () => true),
    orderedMs: since("ordering agents", ({ message }) => message.startsWith(`Starting ${launchedRanks} workers`)),
    agentMs: since("its first agent", ({ data, kind }) => kind === "membership" && data?.nodeRank !== undefined),
    joinedMs: since("a full group", ({ data, kind }) => kind === "membership" && data?.members === launchedRanks),
  };
}

async function launchTorchrun(python: string, signal: AbortSignal): Promise<number> {
  const script = join(packageRoot(), "test", "bench", "launch", "join.py");
  const args = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", String(launchedRanks), script];
  signal.throwIfAborted();
  const startedAtMs = Date.now();
  const { stdout } = await execa(python, args, { env: { OMP_NUM_THREADS: "1" }, cancelSignal: signal });
  return Number(/joined (\d+)/.exec(stdout)![1]) - startedAtMs;
}

async function findTorch(): Promise<{ command: string; version: string } | { skipped: string }> {
  const command = process.env["COORD_PYTHON"] ?? "python3";
  const { exitCode, stdout } = await execa(command, ["-c", "import torch; print(torch.__version__)"], {
    reject: false,
  });
  return exitCode === 0 ? { command, version: stdout.trim() } : { skipped: `${command} has no torch` };
}
