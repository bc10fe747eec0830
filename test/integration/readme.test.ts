import { readFileSync } from "node:fs";
import { join } from "node:path";
import { execaCommand } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { CoordHome } from "../support/coord.ts";

const readme = readFileSync(join(packageRoot(), "README.md"), "utf8");
/** The commands of the section for newcomers, in order. */
const commands = [...readme.split("## Train your own")[0]!.matchAll(/```sh\n(.*?)\n```/gs)].map(([, text]) => text!);

describe("the README's commands for newcomers", () => {
  let home: CoordHome;
  beforeAll(async () => {
    home = await CoordHome.create();
  });
  afterAll(() => home.remove());

  it("are two: one that trains and one that tests", () => {
    expect(commands).toEqual(["npm ci && npx coord launch --nodes 2 --gpus 8", "npm ci && npm test"]);
    const scripts = JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8")).scripts;
    expect(scripts).toHaveProperty("test");
  });

  it("train the demo on sixteen workers, visibly, and end with an adapter", async () => {
    // `npm ci` has run, or this test would not; .ci/run runs the whole line in a fresh clone.
    const command = commands[0]!.replace("npm ci && ", "");
    const { exitCode, stdout } = await execaCommand(command, {
      cwd: packageRoot(),
      env: { COORD_HOME: home.home, COORD_OUTPUT: home.path("output") },
      reject: false,
      stdin: "ignore",
    });
    expect(exitCode, stdout).toBe(0);
    expect(stdout).toMatch(/step \d+\/\d+ {2}loss [\d.]+ {2}lr \S+ {2}\S+ tokens\/s {2}ETA \S+.* workers 16\/16/);
    expect(stdout).toContain(`adapter      ${home.path("output")}`);
    const [start, end] = /held-out +([\d.]+) → ([\d.]+)/.exec(stdout)!.slice(1).map(Number);
    expect(end! / start!).toBeLessThan(0.9);
  });
});
