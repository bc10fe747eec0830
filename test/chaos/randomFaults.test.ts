import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CoordHome, eventually, finalDigests } from "../support/coord.ts";
import { processesOf } from "../support/killEverything.ts";
import { randomNumbers } from "../support/randomNumbers.ts";
import { slowedDown, smallRun } from "../support/smallRun.ts";

interface Status {
  readonly state: string;
  readonly step: number;
  readonly workers: readonly { readonly pid: number; readonly state: string }[];
}

const full = process.env["COORD_CHAOS"] === "full";
const steps = full ? 6000 : 300;
/** For the full number of steps. */
const patienceMs = full ? 1_200_000 : 240_000;
const seed = Number(process.env["COORD_CHAOS_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

describe(`faults at random moments (COORD_CHAOS_SEED=${seed})`, { timeout: patienceMs + 60_000 }, () => {
  let home: CoordHome;
  let flags: string[];
  let undisturbed: { adapter: string; optimizer: string };
  beforeAll(async () => {
    home = await CoordHome.create();
    const shape = [
      "--nodes",
      "2",
      "--gpus",
      "2",
      "--max-steps",
      `${steps}`,
      "--save-steps",
      "50",
      "--max-restarts",
      "1000",
    ];
    flags = [...(await smallRun(home)), ...shape];
    const result = await home.coord(["launch", ...flags, "--output", home.path("undisturbed")]);
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    undisturbed = await finalDigests(home.path("undisturbed"), steps);
  }, patienceMs);
  afterAll(async () => {
    await home.coord(["kill-stale", "--all-runs"]);
    await home.remove();
  });

  const random = randomNumbers(seed);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
  const status = (run: string) => home.json<Status>(["status", run]).catch(() => undefined);
  const isOver = (state: string | undefined) => state === "finished" || state === "failed" || state === "stopped";

  /** Waits until the run has gone on by some steps; false when it is over. */
  const goesOn = (run: string, from: number) =>
    eventually(`${run} to go on from step ${from}`, async () => {
      const now = await status(run);
      if (isOver(now?.state)) return false;
      return now?.state === "training" && now.step > from ? true : undefined;
    });

  /** The run ends by itself, with the bytes of the undisturbed one, and leaves no process behind. */
  const ends = async (run: string, output: string) => {
    const end = await eventually(
      `the end of ${run}`,
      async () => {
        const now = await status(run);
        return isOver(now?.state) ? now : undefined;
      },
      patienceMs,
    );
    expect(end).toMatchObject({ state: "finished", step: steps });
    expect(await finalDigests(output, steps)).toEqual(undisturbed);
    // A worker whose place was taken ends when it is told, which may be a moment after the run.
    await eventually(`no process of ${run}`, async () => (processesOf(run).length === 0 ? true : undefined));
  };

  it("kill -9 of one worker after the other: same bytes", async () => {
    const output = home.path("workers");
    const run = await home.launch([...flags, "--output", output]);
    let kills = 0;
    for (let from = 0; await goesOn(run, from + 10 * random()); ) {
      const now = await status(run);
      const workers = now?.workers.filter(({ pid }) => pid > 0) ?? [];
      if (!now || workers.length === 0) continue;
      from = now.step;
      kill(pick(workers).pid, "SIGKILL");
      kills++;
      if (!full && kills === 4) break;
    }
    await ends(run, output);
    console.log(`${kills} workers killed; generation ${generationOf(home, run)}`);
    expect(kills).toBeGreaterThanOrEqual(3);
  });

  it("kill -9 of the coordinator, over and over: same bytes, and generations only grow", async () => {
    const output = home.path("coordinator");
    const run = await home.launch([...flags, "--output", output], slowedDown(full ? 50 : 1));
    const generations = [];
    const killedAt: number[] = [];
    for (let kills = 0; kills < (full ? 20 : 2); kills++) {
      const from = (await status(run))?.step ?? 0;
      if (!(await goesOn(run, from + 5 * random()))) break;
      // One that dies again and again as soon as it is here is given up.
      if (full) await new Promise((resolve) => setTimeout(resolve, 6000 + 5000 * random()));
      generations.push(generationOf(home, run));
      killedAt.push(Date.now());
      kill(home.coordinator(run).process.pid, "SIGKILL");
    }
    await ends(run, output);
    const events = await home.events(run);
    const longest = (wanted: RegExp) =>
      Math.max(...killedAt.map((at) => events.find((e) => e.timeMs > at && wanted.test(e.message))!.timeMs - at));
    console.log(
      `${killedAt.length} coordinators killed; longest from the kill until the next one is at work ` +
        `${longest(/^Preparing the data set/)} ms, until all workers are back ${longest(/workers are ready/)} ms`,
    );
    generations.push(generationOf(home, run));
    expect(generations.length).toBeGreaterThanOrEqual(3);
    expect(generations).toEqual([...new Set(generations)].sort((a, b) => a - b));
  });

  it("kill -9 of the coordinator when its agents have had no order for longer than they may be alone: same bytes", async () => {
    const output = home.path("quiet");
    const budgetMs = 5000;
    const limited = [...flags, "--reconnect-budget-ms", `${budgetMs}`, "--output", output];
    const run = await home.launch(limited, slowedDown(Math.ceil((3 * budgetMs) / steps)));
    await goesOn(run, 1);
    await new Promise((resolve) => setTimeout(resolve, budgetMs + 1000));
    expect(await status(run)).toMatchObject({ state: "training" });
    kill(home.coordinator(run).process.pid, "SIGKILL");
    await ends(run, output);
  });

  it("kill -9 of an agent, which takes its workers along: same bytes", async () => {
    const output = home.path("agent");
    const run = await home.launch([...flags, "--output", output]);
    await goesOn(run, 20);
    const agents = processesOf(run).filter((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("agentMain"));
    expect(agents).toHaveLength(2);
    kill(pick(agents), "SIGKILL");
    await ends(run, output);
  });

  it.skipIf(!full)("a worker that hangs for 5 s (SIGSTOP, then SIGCONT) is waited for: same bytes", async () => {
    const output = home.path("pause");
    const run = await home.launch([...flags, "--output", output]);
    await goesOn(run, 20);
    const victim = pick((await status(run))!.workers).pid;
    const before = generationOf(home, run);
    kill(victim, "SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 5000));
    kill(victim, "SIGCONT");
    await ends(run, output);
    expect(generationOf(home, run)).toBe(before);
  });

  it("a worker that hangs (SIGSTOP) is evicted, replaced and not missed: same bytes", async () => {
    const output = home.path("hang");
    const run = await home.launch([...flags, "--heartbeat-timeout-ms", "2000", "--output", output]);
    await goesOn(run, 20);
    const victim = pick((await status(run))!.workers).pid;
    kill(victim, "SIGSTOP");
    await ends(run, output);
    const events = readFileSync(join(home.home, "runs", run, "events.jsonl"), "utf8");
    expect(events).toContain(`(pid ${victim} on`);
    expect(events).toContain("it has been silent for");
  });
});

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended in between: no fault, but none of ours either.
  }
}

function generationOf(home: CoordHome, run: string): number {
  return Number(readFileSync(join(home.home, "runs", run, "generation"), "utf8"));
}
