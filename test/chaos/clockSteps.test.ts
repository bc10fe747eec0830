import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { CoordHome, finalDigests } from "../support/coord.ts";
import { slowedDown, smallRun } from "../support/smallRun.ts";

const steps = 40;

describe("a clock that is set", () => {
  let home: CoordHome;
  beforeAll(async () => {
    home = await CoordHome.create();
  });
  afterAll(() => home.remove());

  it("an hour ahead and an hour back, in every process: nobody is evicted, same bytes", async () => {
    const flags = [...(await smallRun(home)), "--nodes", "2", "--max-steps", `${steps}`, "--save-steps", "10"];
    const undisturbed = await home.coord(["launch", ...flags, "--output", home.path("undisturbed")]);
    expect(undisturbed, undisturbed.stderr).toMatchObject({ exitCode: 0 });
    // Four seconds of training, so that all clocks are set while it goes on.
    const clock = join(packageRoot(), "test", "support", "stepClock.mjs");
    const env = { ...slowedDown(100), NODE_OPTIONS: `--import=${clock}` };
    const result = await home.coord(["launch", ...flags, "--output", home.path("stepped")], env);
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    expect(await finalDigests(home.path("stepped"), steps)).toEqual(
      await finalDigests(home.path("undisturbed"), steps),
    );
    const runs = await home.json<{ run: string; output: string }[]>(["list"]);
    const { run } = runs.find(({ output }) => output === home.path("stepped"))!;
    const events = await home.events(run);
    const times = events.map(({ timeMs }) => timeMs);
    expect(Math.max(...times) - Math.min(...times), "the clocks were set").toBeGreaterThan(3_600_000);
    expect(events.map(({ message }) => message).filter((message) => / is out: /.test(message))).toEqual([]);
  });
});
