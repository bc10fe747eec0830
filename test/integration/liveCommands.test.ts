import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { CoordHome, eventually } from "../support/coord.ts";
import { processesOf } from "../support/killEverything.ts";
import { smallRun } from "../support/smallRun.ts";

let home: CoordHome;
let runId: string;
beforeAll(async () => {
  home = await CoordHome.create();
  const flags = [...(await smallRun(home)), "--output", home.path("out"), "--nodes", "2", "--gpus", "1"];
  runId = await home.launch([...flags, "--max-steps", "100000", "--save-steps", "0"]);
  await eventually("the third step", async () => ((await home.metrics(runId)).length > 3 ? true : undefined));
});
afterAll(async () => {
  await home.coord(["stop", "--now", runId]);
  await home.remove();
});

const checkpoints = async () => (await readdir(home.path("out"))).filter((name) => name.startsWith("checkpoint-"));

describe("a run that is going on", () => {
  it("saves a checkpoint when asked to, and trains on", async () => {
    expect(await checkpoints()).toEqual([]);
    const saved = await home.json<{ step: number; path: string }>(["checkpoint", runId]);
    expect(await checkpoints()).toEqual([`checkpoint-${saved.step}`]);
    const known = (await home.coord(["checkpoints", "verify", saved.path])).exitCode;
    expect(known).toBe(0);
    expect((await home.json<{ state: string }>(["status", runId])).state).toBe("training");
  });

  it("takes another save interval and log level, and keeps the interval for its next coordinator", async () => {
    const before = (await checkpoints()).length;
    const set = await home.json(["set", runId, "--save-steps", "5", "--log-level", "debug"]);
    expect(set).toEqual({ run: runId, saveSteps: 5, logLevel: "debug" });
    await eventually("a checkpoint at a multiple of 5", async () =>
      (await checkpoints()).length > before && (await checkpoints()).some((name) => Number(name.slice(11)) % 5 === 0)
        ? true
        : undefined,
    );
    const run = await readFile(home.path("home", "runs", runId, "run.json"), "utf8");
    expect(JSON.parse(run)).toMatchObject({ config: { saveSteps: 5 } });
    expect((await home.coord(["set", runId, "--save-steps", "0"])).stdout).toContain("save-steps  0");
  });

  it("refuses values that mean nothing", async () => {
    const refusals = [
      ["set", "--log-level", "loud"],
      ["set", "--save-steps", "-1"],
      ["profile", "--steps", "0"],
    ];
    for (const args of refusals) expect((await home.coord(args)).exitCode).toBe(2);
  });

  it("tells where the time of each rank goes", async () => {
    const { ranks } = await home.json<{ ranks: Record<string, number>[] }>(["stragglers", runId]);
    expect(ranks.map(({ rank }) => rank)).toEqual([0, 1]);
    for (const rank of ranks) expect(rank["computeMs"]).toBeGreaterThan(0);
    const { stdout } = await home.coord(["stragglers", runId]);
    expect(stdout).toMatch(/^rank +node +host +data ms +compute ms +wait ms +reduce ms +update ms$/m);
  });

  it("writes a trace of its next steps across all ranks", async () => {
    const { exitCode, stderr } = await home.coord(["profile", runId, "--steps", "3", "--to", "trace.json"]);
    expect(exitCode, stderr).toBe(0);
    const { traceEvents } = JSON.parse(await readFile(home.path("trace.json"), "utf8")) as {
      traceEvents: { name: string; ph: string; tid: number; ts: number; dur: number; args: { step: number } }[];
    };
    const spans = traceEvents.filter(({ ph }) => ph === "X");
    expect(new Set(spans.map(({ args }) => args.step)).size).toBe(3);
    for (const rank of [0, 1]) {
      const names = new Set(spans.filter(({ tid }) => tid === rank).map(({ name }) => name));
      expect(names).toEqual(new Set([`data slot ${rank}`, `compute slot ${rank}`, "upload", "reduce", "update"]));
    }
  });

  it("completes its id in bash", async () => {
    const script = `PATH="$1:$PATH"; source <(coord completion bash); COMP_WORDS=(coord status 20); COMP_CWORD=2; _coord_completions; echo "\${COMPREPLY[@]}"`;
    const env = { ...process.env, COORD_HOME: home.home };
    const { stdout } = await promisify(execFile)("bash", ["-c", script, "bash", "node_modules/.bin"], { env });
    expect(stdout.trim()).toBe(runId);
  });

  it("is attached to again although its coordinator has just been killed", async () => {
    const path = home.path("home", "runs", runId, "coordinator.json");
    const { process: before } = JSON.parse(await readFile(path, "utf8")) as { process: { pid: number } };
    // The agent that would start it again waits until the view has seen that nobody answers.
    const isSupervisor = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("--supervise");
    const supervisor = processesOf(runId).find(isSupervisor)!;
    process.kill(supervisor, "SIGSTOP");
    process.kill(before.pid, "SIGKILL");
    const program = join(packageRoot(), "dist", "coordinator", "cli", "main.js");
    const attached = execa(process.execPath, [program, "attach", runId], {
      env: { COORD_HOME: home.home },
      reject: false,
    });
    const waits = once(attached.stdout!, "data");
    try {
      expect(String(await waits)).toContain("has died; waiting for its agent to start it again");
    } finally {
      process.kill(supervisor, "SIGCONT");
    }
    await eventually("the new coordinator trains on", async () => {
      const { exitCode, stdout } = await home.coord(["status", runId, "--json"]);
      return exitCode === 0 && (JSON.parse(stdout) as { state: string }).state === "training" ? true : undefined;
    });
    await home.coord(["stop", "--now", runId]);
    const { stdout } = await attached;
    expect(stdout).toMatch(/^stopped {2}run /m);
  });
});
