import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CoordHome, eventually, finalDigests } from "../support/coord.ts";
import { killEverything } from "../support/killEverything.ts";
import { smallRun } from "../support/smallRun.ts";

interface Status {
  readonly state: string;
  readonly step: number;
  readonly maxSteps: number;
}

const steps = 120;

describe("a run that is stopped and resumed", () => {
  let home: CoordHome;
  let flags: string[];
  let undisturbed: { adapter: string; optimizer: string };
  beforeAll(async () => {
    home = await CoordHome.create();
    const common = ["--nodes", "2", "--gpus", "1", "--max-steps", `${steps}`, "--save-steps", "7"];
    flags = [...(await smallRun(home)), ...common, "--eval-split", "0.2", "--eval-steps", "20"];
    const result = await home.coord(["launch", ...flags, "--output", home.path("undisturbed")]);
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    undisturbed = await finalDigests(home.path("undisturbed"), steps);
  });
  afterAll(() => home.remove());

  const reached = (run: string, step: number) =>
    eventually(`step ${step}`, async () =>
      (await home.metrics(run)).some((line) => (line["step"] ?? 0) >= step) ? true : undefined,
    );
  const cacheFiles = async () => (await readdir(join(home.home, "cache", "tokens"))).sort();

  it("ends with the bytes of the undisturbed run after `coord stop`, without a second token cache", async () => {
    const output = home.path("stopped");
    const before = await cacheFiles();
    const run = await home.launch([...flags, "--output", output]);
    await reached(run, 20);
    expect(await home.coord(["stop", run])).toMatchObject({ exitCode: 0 });
    const stopped = await eventually("the end of the run", async () => {
      const status = await home.json<Status>(["status", run]);
      return status.state === "stopped" ? status : undefined;
    });
    expect(stopped.step).toBeGreaterThanOrEqual(20);
    expect(stopped.step).toBeLessThan(steps);
    // The step it stopped at is a checkpoint, whatever --save-steps says.
    expect(await readdir(output)).toContain(`checkpoint-${stopped.step}`);

    const resumed = await home.coord(["resume", run]);
    expect(resumed, resumed.stderr).toMatchObject({ exitCode: 0 });
    expect(resumed.stdout).toContain(`Continuing from checkpoint-${stopped.step}`);
    expect(await finalDigests(output, steps)).toEqual(undisturbed);
    expect(await cacheFiles()).toEqual(before);
  });

  it("ends with the same bytes after everything was killed", async () => {
    const output = home.path("killed");
    const run = await home.launch([...flags, "--output", output]);
    await reached(run, 40);
    const killed = await killEverything(run);
    // A coordinator, two agents and two workers.
    expect(killed).toBe(5);

    const resumed = await home.coord(["resume", output]);
    expect(resumed, resumed.stderr).toMatchObject({ exitCode: 0 });
    expect(resumed.stdout).toMatch(/Continuing from checkpoint-\d+/);
    expect(await finalDigests(output, steps)).toEqual(undisturbed);
    const data = (await readFile(join(home.home, "runs", run, "events.jsonl"), "utf8"))
      .split("\n")
      .filter((line) => line.includes('"hit":'));
    expect(data).toHaveLength(2);
    expect(data.every((line) => line.includes('"hit":true'))).toBe(true);
  });

  it("goes back to the checkpoint that --from names, and ends with the same bytes again", async () => {
    const output = home.path("stopped");
    const resumed = await home.coord(["resume", output, "--from", "checkpoint-14"]);
    expect(resumed, resumed.stderr).toMatchObject({ exitCode: 0 });
    expect(resumed.stdout).toContain("Continuing from checkpoint-14");
    expect(await finalDigests(output, steps)).toEqual(undisturbed);
  });

  it("ends with the same bytes when it is resumed on another number of workers", async () => {
    const output = home.path("reshaped");
    const run = await home.launch([...flags, "--output", output]);
    await reached(run, 10);
    await home.coord(["stop", run]);
    await eventually("the end of the run", async () => {
      const { state } = await home.json<Status>(["status", run]);
      return state === "stopped" ? state : undefined;
    });
    const resumed = await home.coord(["resume", run, "--nodes", "1", "--gpus", "1"]);
    expect(resumed, resumed.stderr).toMatchObject({ exitCode: 0 });
    expect(await finalDigests(output, steps)).toEqual(undisturbed);
  });
});
