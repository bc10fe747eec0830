import { readFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { runPaths } from "../../shared/runPaths.ts";
import { CoordHome, eventually, finalDigests } from "../support/coord.ts";
import { processesOf } from "../support/killEverything.ts";
import { slowedDown, smallRun } from "../support/smallRun.ts";

const steps = 200;
const command = join(packageRoot(), "dist", "coordinator", "cli", "main.js");

interface Status {
  readonly state: string;
  readonly step: number;
  readonly workers: readonly { readonly node: number; readonly rank: number | null; readonly pid: number }[];
}

describe("a run whose size changes", () => {
  let home: CoordHome;
  let data: string[];
  const agents: { kill(signal: "SIGKILL"): boolean; readonly ended: Promise<unknown> }[] = [];
  beforeAll(async () => {
    home = await CoordHome.create();
    data = await smallRun(home);
  });
  afterAll(async () => {
    for (const agent of agents) agent.kill("SIGKILL");
    await Promise.all(agents.map(({ ended }) => ended));
    await home.coord(["kill-stale", "--all-runs"]);
    await home.remove();
  });

  it("grows from 2 to 4 nodes, shrinks to 3, and ends with the bytes of one that never changed", async () => {
    const flags = [...data, "--gpus", "1", "--slots", "4", "--max-steps", `${steps}`, "--save-steps", "0"];
    const undisturbed = home.path("undisturbed");
    const before = await home.coord(["launch", ...flags, "--nodes", "2", "--output", undisturbed]);
    expect(before, before.stderr).toMatchObject({ exitCode: 0 });

    const output = home.path("elastic");
    const elastic = ["--nodes", "2", "--min-nodes", "1", "--max-nodes", "4", "--rejoin-timeout-ms", "2000"];
    // Slow enough for agents to come while it is at work.
    const slow = slowedDown(60);
    const run = await home.launch([...flags, ...elastic, "--output", output], slow);
    const paths = runPaths(home.home, run);
    const status = () => home.json<Status>(["status", run]).catch(() => undefined);
    const membersAre = (count: number) =>
      eventually(`${count} members at work`, async () => {
        const now = await status();
        if (now?.state === "finished") throw new Error(`The run ended before ${count} members were at work.`);
        const members = now?.workers.filter(({ rank }) => typeof rank === "number").length;
        return now?.state === "training" && members === count ? now : undefined;
      });
    const two = await membersAre(2);
    const { address } = JSON.parse(readFileSync(paths.coordinator, "utf8")) as { address: string };
    for (const nodeRank of [2, 3]) {
      const env = { COORD_HOME: home.home, COORD_RUN_ID: run, COORD_TOKEN_FILE: paths.token };
      const args = [command, "agent", "--join", address, "--node-rank", `${nodeRank}`];
      const child = execa(process.execPath, args, { env, reject: false, stdin: "ignore" });
      agents.push({ kill: (signal) => child.kill(signal), ended: child });
    }
    const four = await membersAre(4);
    expect(four.step).toBeGreaterThanOrEqual(two.step);

    // Node 3 goes with all that runs on it, and nobody starts it again.
    const gone = four.workers.find(({ node }) => node === 3)!;
    agents[1]!.kill("SIGKILL");
    process.kill(gone.pid, "SIGKILL");
    await membersAre(3);

    const end = await eventually(
      "the end",
      async () => {
        const now = await status();
        return now && ["finished", "failed", "stopped"].includes(now.state) ? now : undefined;
      },
      120_000,
    );
    expect(end).toMatchObject({ state: "finished", step: steps });
    expect(await finalDigests(output, steps)).toEqual(await finalDigests(undisturbed, steps));
    await eventually("no process left", async () => (processesOf(run).length === 0 ? true : undefined));
    const events = readFileSync(paths.events, "utf8");
    expect(events).toContain("The 3 workers that are left of 4 are ready");
  });

  it("a worker that always dies ends the run after the budget, and its first failure is named", async () => {
    const output = home.path("hopeless");
    const result = await home.coord(
      ["launch", ...data, "--nodes", "1", "--gpus", "2", "--max-restarts", "2", "--max-steps", "5", "--output", output],
      { COORD_FAILPOINT: "step-begun@1@0/1", COORD_FAILPOINT_MARKER: "always" },
    );
    expect(result.exitCode, result.stderr).toBe(1);
    expect(result.stdout + result.stderr).toMatch(
      /The worker with rank 1 \(node 0, worker 1\) failed\. It was ended by SIGKILL, and --max-restarts 2 is used up\. The first failure was that of rank 1 \(node 0, worker 1\) on \S+: it was ended by SIGKILL\. /,
    );
    const [run] = (await home.json<{ run: string; output: string }[]>(["list"])).filter((r) => r.output === output);
    const events = readFileSync(runPaths(home.home, run!.run).events, "utf8");
    expect(events.match(/Starting rank 1 .* again/g)).toHaveLength(2);
    expect(events).toContain("restart 2 of 2 after 1 s");
  });

  it("of two resumes at the same time one wins, and the other names the run that is going on", async () => {
    const output = home.path("twice");
    const run = await home.launch([
      ...data,
      "--nodes",
      "1",
      "--max-steps",
      "100000",
      "--save-steps",
      "5",
      "--output",
      output,
    ]);
    await eventually("step 5", async () => {
      const now = await home.json<Status>(["status", run]).catch(() => undefined);
      return (now?.step ?? 0) >= 5 ? true : undefined;
    });
    expect(await home.coord(["stop", run])).toMatchObject({ exitCode: 0 });
    const both = await Promise.all([1, 2].map(() => home.coord(["resume", run, "--detach"])));
    expect(both.map(({ exitCode }) => exitCode).sort()).toEqual([0, 3]);
    const loser = both.find(({ exitCode }) => exitCode === 3)!;
    expect(loser.stderr).toContain(`Run ${run} is going on; watch it with \`coord attach ${run}\`.`);
    expect(await home.coord(["stop", "--now", run])).toMatchObject({ exitCode: 0 });
    await eventually("no process left", async () => (processesOf(run).length === 0 ? true : undefined));
  });
});
