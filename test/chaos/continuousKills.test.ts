import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CoordHome, finalDigests, type RunEvent } from "../support/coord.ts";
import { smallRun } from "../support/smallRun.ts";

const why = process.env["COORD_CHAOS"] === "full" ? undefined : "npm run test:chaos runs it";
/** Mean time between kills, and how long they go on, in seconds. */
const everySeconds = 20;
const forSeconds = 600;

interface Status {
  readonly step: number;
  readonly state: string;
  readonly workers: readonly { readonly pid: number }[];
}

describe.skipIf(why)(`kill -9 of a worker every ${everySeconds} s${why ? ` (skipped: ${why})` : ""}`, () => {
  let home: CoordHome;
  beforeAll(async () => {
    home = await CoordHome.create();
  });
  afterAll(async () => {
    await home.coord(["kill-stale", "--all-runs"]);
    await home.remove();
  });

  const seconds = (first: RunEvent, last: RunEvent) => (last.timeMs - first.timeMs) / 1000;
  const stepsOf = (events: readonly RunEvent[]) => events.filter(({ kind }) => kind === "step");

  it("same bytes, no step lost or done twice; what it costs", async () => {
    const shape = ["--nodes", "2", "--gpus", "2", "--save-steps", "500", "--max-restarts", "1000"];
    const flags = [...(await smallRun(home)), ...shape];
    const launch = async (name: string, steps: number) =>
      home.launch([...flags, "--max-steps", `${steps}`, "--output", home.path(name)]);
    const end = async (run: string) => {
      const { exitCode, stderr } = await home.coord(["attach", run]);
      expect(exitCode, stderr).toBe(0);
      return home.events(run);
    };

    const trial = stepsOf(await end(await launch("trial", 600)));
    const rate = (trial.length - 100) / seconds(trial[100]!, trial.at(-1)!);
    const steps = Math.ceil(rate * forSeconds);
    const undisturbed = stepsOf(await end(await launch("undisturbed", steps)));
    const freeSeconds = seconds(undisturbed[0]!, undisturbed.at(-1)!);

    const run = await launch("killed", steps);
    const kills: number[] = [];
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * everySeconds * (0.5 + Math.random())));
      const now = await home.json<Status>(["status", run]).catch(() => undefined);
      if (!now || now.state === "finished" || now.state === "failed") break;
      const pids = now.workers.map(({ pid }) => pid).filter((pid) => pid > 0);
      const victim = pids[Math.floor(Math.random() * pids.length)];
      if (now.state !== "training" || victim === undefined) continue;
      kills.push(Date.now());
      process.kill(victim, "SIGKILL");
    }
    const events = await end(run);
    const done = stepsOf(events);
    const takenSeconds = seconds(done[0]!, done.at(-1)!);
    // A step that had been computed may still be committed after the kill: the next one of a new generation counts.
    const recoveries = kills.flatMap((killed) => {
      const ready = events.findIndex(({ message, timeMs }) => timeMs >= killed && /workers are ready/.test(message));
      const next = ready < 0 ? undefined : events.slice(ready).find(({ kind }) => kind === "step");
      return next ? [next.timeMs - killed] : [];
    });
    const mean = recoveries.reduce((sum, value) => sum + value, 0) / recoveries.length;
    console.log(
      `${kills.length} kills in ${takenSeconds.toFixed(0)} s of ${steps} steps; ${freeSeconds.toFixed(0)} s without: ` +
        `${((100 * freeSeconds) / takenSeconds).toFixed(1)} % of the rate; kill to next committed step: ` +
        `mean ${mean.toFixed(0)} ms, longest ${Math.max(...recoveries)} ms`,
    );
    expect(kills.length).toBeGreaterThan(10);
    expect(recoveries.length).toBe(kills.length);
    expect(done.map(({ message }) => Number(/^Step (\d+) /.exec(message)![1]))).toEqual(
      Array.from({ length: steps }, (_, index) => index + 1),
    );
    expect(await finalDigests(home.path("killed"), steps)).toEqual(await finalDigests(home.path("undisturbed"), steps));
  }, 3_600_000);
});
