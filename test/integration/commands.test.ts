import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RunDirectory } from "../../coordinator/runs/runDirectory.ts";
import { runConfigSchema } from "../../shared/config/schema.ts";

// The built program against a coordinator that only talks: what `attach`, `status`, `logs` and `stop` do with a run.
const program = fileURLToPath(new URL("../../dist/coordinator/cli/main.js", import.meta.url));
const fake = fileURLToPath(new URL("../support/fakeCoordinator.mjs", import.meta.url));

let home: string;
let kill: (() => Promise<void>)[];
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "coord-commands-"));
  kill = [];
});
afterEach(async () => {
  for (const end of kill) await end();
  await rm(home, { recursive: true, force: true });
});

/** Starts a run whose coordinator plays `steps` steps and then ends in the given way. */
async function startFake(steps: number, end: "finish" | "fail" | "crash" | "wait") {
  const config = runConfigSchema.parse({ output: join(home, "out"), loggingSteps: 10 });
  const directory = await RunDirectory.create(home, { config, output: config.output });
  const { runId, paths } = directory;
  const environment = { ...process.env, COORD_HOME: home, COORD_RUN_ID: runId };
  const child = spawn(process.execPath, [fake, String(steps), "20", end], { env: environment, stdio: "ignore" });
  const ended = once(child, "exit");
  kill.push(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  await expect.poll(() => directory.readCoordinator(), { timeout: 20_000 }).toBeDefined();
  return { runId, paths, directory };
}

const coord = (argv: string[]) =>
  execa(process.execPath, [program, ...argv], { env: { COORD_HOME: home }, reject: false });

describe("attach", () => {
  it("writes lines to a pipe and ends with the summary of the finished run", async () => {
    const { runId } = await startFake(20, "finish");
    const { exitCode, stdout, stderr } = await coord(["attach"]);
    expect(stderr).toBe("");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}step 20\/20 {2}loss 2\.6703 {2}lr 1\.00e-4 /m);
    expect(stdout).toContain(`\nfinished  run ${runId}\n  steps        20 of 20\n`);
    expect(stdout).toContain("held-out     3.0000 → 2.4000 (−20.0 %)");
    expect(stdout).toContain(`adapter      ${home}/out/checkpoint-20`);
  });

  it("ends with the root cause and exit code of a failure", async () => {
    await startFake(5, "fail");
    const { exitCode, stdout } = await coord(["attach"]);
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(
      /Root cause \(first observed failure\): Rank 1 ran out of memory\.\n {2}time {9}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n {2}worker {7}rank 1 \(node 0, pid 4711\)\n {2}│ allocating/,
    );
  });

  it("says how to go on when the coordinator dies, with exit code 75", async () => {
    const { runId } = await startFake(5, "crash");
    const { exitCode, stderr } = await coord(["attach"]);
    expect(exitCode).toBe(75);
    expect(stderr).toContain(`The coordinator of run ${runId} died after step 5`);
    expect(stderr).toContain(`coord resume ${runId}`);
    const { stdout } = await coord(["status", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ run: runId, state: "dead" });
  });

  it("leaves the run alone on Ctrl-C", async () => {
    const { runId, directory } = await startFake(1000, "wait");
    const attached = coord(["attach", runId]);
    for await (const line of attached) if (line.includes("step 1/")) attached.kill("SIGINT");
    const { exitCode, stdout } = await attached;
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`The run goes on; coord stop ${runId} ends it.`);
    expect(await directory.readResult()).toBeUndefined();
  });
});

describe("status, list, logs and stop", () => {
  it("show a run that goes on and end it", async () => {
    const { runId } = await startFake(1000, "wait");
    await expect
      .poll(async () => JSON.parse((await coord(["status", "--json"])).stdout), { timeout: 20_000 })
      .toMatchObject({
        run: runId,
        state: "training",
        maxSteps: 1000,
        generation: 1,
        output: join(home, "out"),
        workers: [{ rank: 0, node: 0, state: "computing" }, { rank: 1 }],
      });
    expect((await coord(["list"])).stdout).toMatch(new RegExp(`^${runId} +training +\\d+/1000 `, "m"));
    expect((await coord(["stop"])).stdout).toMatch(
      new RegExp(`^Run ${runId}: stopped after step \\d+\\. coord resume ${runId} continues it\\.$`, "m"),
    );
    expect((await coord(["stop", runId])).stdout).toMatch(`Run ${runId} is not going on: stopped after step`);
    expect(JSON.parse((await coord(["status", "--json"])).stdout)).toMatchObject({ state: "stopped", exitCode: 130 });
  });

  it("follow the logs until the run has ended", async () => {
    const { paths } = await startFake(10, "wait");
    await writeFile(join(paths.logs, "agent_0.log"), "two workers started\n");
    const followed = coord(["logs", "-f"]);
    for await (const line of followed) {
      expect(line).toBe("[agent 0] two workers started");
      await coord(["stop"]);
    }
    expect((await followed).exitCode).toBe(0);
  });

  it("are quiet when nobody reads on", async () => {
    await startFake(20, "finish");
    const attached = coord(["attach"]);
    for await (const _ of attached) break;
    attached.stdout.destroy();
    const { exitCode, stderr } = await attached;
    expect([exitCode, stderr]).toEqual([0, ""]);
  });
});
