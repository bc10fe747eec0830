import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { readEvents } from "../../../coordinator/observe/followEvents.ts";
import { packageRoot } from "../../../shared/process/packageRoot.ts";
import { median } from "../statistics.ts";
import { processorSeconds } from "./processUse.ts";
import { Watcher } from "./watcher.ts";

const command = join(packageRoot(), "dist", "coordinator", "cli", "main.js");

/** What watching costs a training loop. */
export interface WatchCost {
  readonly name: string;
  /** Pairs of windows, each one watched and one not. */
  readonly pairs: number;
  readonly steps: number;
  /** Mean milliseconds per step, unwatched. */
  readonly stepMs: number;
  readonly windowMs: number;
  /** (watched − unwatched) ÷ unwatched: median over the pairs, and the standard error of that median. */
  readonly cost: number;
  readonly standardError: number;
  /** Processor seconds per second that the coordinator itself took more while it was watched. */
  readonly coordinatorSeconds: number;
  /** Those that the watching process took. */
  readonly watcherSeconds: number;
}

/** A window's beginning belongs to nobody: connections open, the step in work began before. */
const settleMs = 300;

/**
 * One run with a dashboard; in every other window a process asks for its status each second over a new connection, as
 * `coord status` does, and reads the dashboard's stream. The order within a pair alternates, so that drift cancels out.
 */
export async function measureWatchCost(
  name: string,
  args: readonly string[],
  { pairs, windowMs }: { readonly pairs: number; readonly windowMs: number },
  signal: AbortSignal,
): Promise<WatchCost> {
  const directory = await mkdtemp(join(tmpdir(), "coord-bench-watch-"));
  const home = join(directory, "home");
  const env = { ...process.env, COORD_HOME: home };
  const coord = (...words: string[]) => execa(process.execPath, [command, ...words], { env, cwd: directory });
  try {
    const launch = ["launch", "--detach", "--dashboard", "--output", join(directory, "output"), ...args];
    const { stdout } = await coord(...launch);
    const run = stdout.trim();
    try {
      const eventsPath = join(home, "runs", run, "events.jsonl");
      await until(async () => (await stepsOf(eventsPath)).length >= 5, signal);
      const pid = await coordinatorPid(home, run);
      const watcher = new Watcher(home, run);
      const windows: Window[] = [];
      try {
        // Everything is loaded and compiled before it counts.
        for (const state of ["on", "off"] as const) {
          await watcher.turn(state);
          await sleep(3000, undefined, { signal });
        }
        for (let pair = 0; pair < pairs; pair++) {
          for (const watched of pair % 2 === 0 ? [false, true] : [true, false]) {
            await watcher.turn(watched ? "on" : "off");
            await sleep(settleMs, undefined, { signal });
            const fromMs = Date.now();
            const used = [pid, watcher.pid].map(processorSeconds);
            await sleep(windowMs, undefined, { signal });
            const now = [pid, watcher.pid].map(processorSeconds);
            const [coordinatorSeconds, watcherSeconds] = now.map((seconds, at) => seconds - used[at]!) as [
              number,
              number,
            ];
            windows.push({ watched, fromMs, toMs: Date.now(), coordinatorSeconds, watcherSeconds });
          }
        }
      } finally {
        await watcher.end();
      }
      return { name, pairs, windowMs, ...compare(windows, await stepsOf(eventsPath)) };
    } finally {
      await coord("stop", "--now", run).catch(() => {});
      await gone(join(home, "runs", run, "processes"));
    }
  } finally {
    await rm(directory, { recursive: true, force: true, maxRetries: 10 });
  }
}

interface Window {
  readonly watched: boolean;
  readonly fromMs: number;
  readonly toMs: number;
  readonly coordinatorSeconds: number;
  readonly watcherSeconds: number;
}

interface Step {
  readonly timeMs: number;
  readonly stepMs: number;
  readonly tokens: number;
}

/** Time per token, so that steps of longer samples do not count as slow; scaled back to a mean step. */
function compare(windows: readonly Window[], steps: readonly Step[]) {
  const inside = windows.map(({ fromMs, toMs }) =>
    steps.filter(({ stepMs, timeMs }) => timeMs - stepMs >= fromMs && timeMs <= toMs),
  );
  const rate = (own: readonly Step[]) => sum(own, ({ stepMs }) => stepMs) / sum(own, ({ tokens }) => tokens);
  const costs: number[] = [];
  for (let at = 0; at < windows.length; at += 2) {
    const watched = windows[at]!.watched ? at : at + 1;
    const unwatched = windows[at]!.watched ? at + 1 : at;
    costs.push(rate(inside[watched]!) / rate(inside[unwatched]!) - 1);
  }
  const cost = median(costs);
  // Robust against windows in which something else was at work; 1.4826 and 1.2533 are those of normal errors.
  const deviation = 1.4826 * median(costs.map((value) => Math.abs(value - cost)));
  const quiet = inside.flatMap((own, index) => (windows[index]!.watched ? [] : own));
  const perSecond = (watched: boolean, pick: (window: Window) => number) => {
    const own = windows.filter((window) => window.watched === watched);
    return sum(own, pick) / (sum(own, ({ fromMs, toMs }) => toMs - fromMs) / 1000);
  };
  const coordinator = ({ coordinatorSeconds }: Window) => coordinatorSeconds;
  return {
    steps: sum(inside, (own) => own.length),
    stepMs: median(quiet.map(({ stepMs }) => stepMs)),
    cost,
    standardError: (1.2533 * deviation) / Math.sqrt(costs.length),
    coordinatorSeconds: perSecond(true, coordinator) - perSecond(false, coordinator),
    watcherSeconds: perSecond(true, ({ watcherSeconds }) => watcherSeconds),
  };
}

async function stepsOf(path: string): Promise<Step[]> {
  let before = 0;
  return (await readEvents(path).catch(() => [])).flatMap(({ data, kind, timeMs }) => {
    if (kind !== "step") return [];
    const inputTokens = Number(data["inputTokens"]);
    const tokens = inputTokens - before;
    before = inputTokens;
    return [{ timeMs, stepMs: Number(data["stepMs"]), tokens }];
  });
}

async function coordinatorPid(home: string, run: string): Promise<number> {
  const names = await readdir(join(home, "runs", run, "processes"));
  return Number(names.map((name) => /^coordinator-(\d+)\.json$/.exec(name)?.[1]).find((pid) => pid !== undefined));
}

async function gone(processes: string): Promise<void> {
  for (let looks = 0; looks < 300 && (await readdir(processes).catch(() => [])).length > 0; looks++) await sleep(100);
}

async function until(condition: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  for (let looks = 0; looks < 600; looks++) {
    signal.throwIfAborted();
    if (await condition()) return;
    await sleep(100);
  }
  throw new Error("The run took no step in a minute.");
}

function sum<T>(values: readonly T[], pick: (value: T) => number): number {
  return values.reduce((total, value) => total + pick(value), 0);
}
