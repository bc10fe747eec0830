import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CoordHome, finalDigests } from "../support/coord.ts";
import { smallRun } from "../support/smallRun.ts";

const steps = 6;

/** A checkpoint is due at every step, and writing one takes a multiple of a step. */
describe("a disk that is slower than training", () => {
  let home: CoordHome;
  let flags: string[];
  let undisturbed: { adapter: string; optimizer: string };
  beforeAll(async () => {
    home = await CoordHome.create();
    const shape = ["--nodes", "1", "--gpus", "2", "--max-steps", `${steps}`, "--save-steps", "1"];
    flags = [...(await smallRun(home)), ...shape];
    const result = await home.coord(["launch", ...flags, "--output", home.path("undisturbed")]);
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    undisturbed = await finalDigests(home.path("undisturbed"), steps);
  });
  afterAll(() => home.remove());

  const slow = { COORD_FAILPOINT: "slow@600@coordinator", COORD_FAILPOINT_MARKER: "always" };
  const stepsSaved = async (output: string) =>
    (await home.json<{ checkpoints: { step: number }[] }>(["checkpoints", "list", output])).checkpoints
      .map(({ step }) => step)
      .sort((a, b) => a - b);
  const eventsOf = async (output: string) => {
    const runs = await home.json<{ run: string; output: string }[]>(["list"]);
    const { run } = runs.find((entry) => entry.output === output)!;
    return readFile(join(home.home, "runs", run, "events.jsonl"), "utf8");
  };

  it("is waited for by default: every checkpoint is there", async () => {
    const output = home.path("wait");
    const result = await home.coord(["launch", ...flags, "--output", output], slow);
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    expect(await stepsSaved(output)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await finalDigests(output, steps)).toEqual(undisturbed);
  });

  it("is not waited for with --on-save-busy skip: what was skipped is said, the last state is there", async () => {
    const output = home.path("skip");
    const result = await home.coord(["launch", ...flags, "--on-save-busy", "skip", "--output", output], slow);
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    const saved = await stepsSaved(output);
    expect(saved).toContain(1);
    expect(saved).toContain(steps);
    const events = await eventsOf(output);
    const skipped = [1, 2, 3, 4, 5, 6].filter((step) => events.includes(`Step ${step} is not saved: `));
    expect(skipped.length).toBeGreaterThan(0);
    expect([...saved, ...skipped].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await finalDigests(output, steps)).toEqual(undisturbed);
  });

  it("is waited for at the end: a run that is stopped leaves when its last state is on disk", async () => {
    const output = home.path("stopped");
    const run = await home.launch([...flags, "--max-steps", "100000", "--output", output], slow);
    await home.coord(["stop", run]);
    const attached = await home.coord(["attach", run]);
    const [newest] = (await stepsSaved(output)).slice(-1);
    const status = await home.json<{ state: string; step: number }>(["status", run]);
    expect(status, attached.stdout).toMatchObject({ state: "stopped", step: newest });
  });
});
