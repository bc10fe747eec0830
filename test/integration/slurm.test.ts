import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { CoordHome, eventually, finalDigests } from "../support/coord.ts";
import { killEverything, processesOf } from "../support/killEverything.ts";
import { slowedDown, smallRun } from "../support/smallRun.ts";
import { TestSlurm, whyNoSlurm } from "../support/testSlurm.ts";

const skipped = whyNoSlurm();
const steps = 60;
/** Milliseconds that a step takes at least. */
const stepMs = 250;

interface Status {
  readonly state: string;
  readonly checkpoint: string | null;
  readonly job: { readonly id: string; readonly state: string; readonly nodes: string } | null;
}

describe.skipIf(skipped)(`coord launch --launcher slurm${skipped ? ` (skipped: ${skipped})` : ""}`, () => {
  let home: CoordHome;
  let slurm: TestSlurm;
  let model: string[];
  let reference: { adapter: string; optimizer: string };
  let runs: string[];
  let number = 0;

  beforeAll(async () => {
    home = await CoordHome.create();
    slurm = TestSlurm.up(home.path("slurm"));
    vi.stubEnv("SLURM_CONF", slurm.env.SLURM_CONF);
    model = await smallRun(home, 60);
    const local = await home.launch([
      ...model,
      "--max-steps",
      `${steps}`,
      "--gpus",
      "4",
      "--output",
      home.path("local"),
    ]);
    expect((await home.coord(["attach", local])).exitCode).toBe(0);
    reference = await finalDigests(home.path("local"), steps);
  });
  beforeEach(() => {
    runs = [];
  });
  afterEach(async () => {
    for (const runId of runs) {
      const job = await jobOf(runId).catch(() => undefined);
      if (job) slurm.command("scancel", job);
      await killEverything(runId);
    }
    // The next test's job is not to wait for what is left of this one's.
    await eventually("idle nodes", async () => slurm.idleNodes() === 2 || undefined, 90_000);
  });
  afterAll(async () => {
    slurm?.down();
    vi.unstubAllEnvs();
    await home?.remove();
  });

  async function submit(flags: readonly string[] = []): Promise<{ runId: string; output: string; job: string }> {
    const output = home.path(`out${++number}`);
    const shape = ["--launcher", "slurm", "--nodes", "2", "--gpus", "2", "--partition", "debug"];
    const args = [...model, "--max-steps", `${steps}`, ...shape, "--output", output, ...flags];
    const runId = await home.launch(args, slowedDown(stepMs));
    runs.push(runId);
    return { runId, output, job: await jobOf(runId) };
  }

  const jobOf = async (runId: string) => readFileSync(join(home.home, "runs", runId, "slurm-job"), "utf8").trim();
  const status = (runId: string) => home.json<Status>(["status", runId]);
  const state = (job: string, wanted: string) =>
    eventually(`job ${job} to be ${wanted}`, async () => slurm.state(job) === wanted || undefined, 90_000);
  const step = (runId: string, wanted: number) =>
    eventually(`step ${wanted}`, async () =>
      (await home.metrics(runId)).some((line) => (line["step"] ?? 0) >= wanted) ? true : undefined,
    );
  async function finish(runId: string): Promise<void> {
    await eventually(
      "the run's end",
      async () => {
        const { state: now } = await status(runId);
        if (now === "failed") throw new Error(JSON.stringify(await home.events(runId)));
        return now === "finished" || undefined;
      },
      120_000,
    );
  }

  it("trains on the nodes of a job to the bytes of a local run", async () => {
    const { job, output, runId } = await submit();
    await step(runId, 1);
    expect((await status(runId)).job).toMatchObject({ id: job, state: "RUNNING", nodes: "n[1-2]" });
    expect((await home.coord(["status", runId])).stdout).toContain(`${job} RUNNING on n[1-2]`);
    await finish(runId);
    expect(await finalDigests(output, steps)).toEqual(reference);
    await state(job, "COMPLETED");
    expect(processesOf(runId)).toEqual([]);
  });

  it("goes on in the same job after its coordinator was killed", async () => {
    const { job, output, runId } = await submit();
    await step(runId, 5);
    const file = readFileSync(join(home.home, "runs", runId, "coordinator.json"), "utf8");
    process.kill((JSON.parse(file) as { process: { pid: number } }).process.pid, "SIGKILL");
    await finish(runId);
    expect(await finalDigests(output, steps)).toEqual(reference);
    await state(job, "COMPLETED");
  });

  it("writes a checkpoint and queues again when Slurm warns it, and goes on to the same bytes", async () => {
    const { job, output, runId } = await submit(["--save-steps", "0"]);
    await step(runId, 5);
    slurm.command("scancel", "--batch", "--signal=USR1", job);
    await eventually("a second attempt", async () =>
      slurm.command("scontrol", "show", "job", job).includes("Restarts=1") ? true : undefined,
    );
    expect((await readdir(output)).some((name) => name.startsWith("checkpoint-"))).toBe(true);
    expect((await status(runId)).job).toMatchObject({ id: job });
    await finish(runId);
    expect(await finalDigests(output, steps)).toEqual(reference);
  });

  it("goes on from its checkpoint after a node has crashed and come back", async () => {
    const { job, output, runId } = await submit(["--save-steps", "5"]);
    await step(runId, 10);
    slurm.crashNode(2);
    try {
      await state(job, "PENDING");
    } finally {
      slurm.startNode(2);
    }
    await finish(runId);
    expect(await finalDigests(output, steps)).toEqual(reference);
  });

  it("stops after a checkpoint and resumes as another job", async () => {
    const { job, output, runId } = await submit(["--save-steps", "0"]);
    await step(runId, 5);
    expect((await home.coord(["stop", runId])).stdout).toMatch(/stopped after step \d+/);
    await eventually("the job's end", async () => (slurm.state(job) === "RUNNING" ? undefined : true));
    const resumed = await home.coord(["resume", runId]);
    expect(resumed.stdout).toMatch(/is Slurm job \d+/);
    expect(await jobOf(runId)).not.toBe(job);
    await finish(runId);
    expect(await finalDigests(output, steps)).toEqual(reference);
  });

  it("saves in front of the time limit; coord stop takes the job out of the queue", async () => {
    const endless = ["--max-steps", "100000", "--save-steps", "0", "--eval-split", "0"];
    const submittedMs = Date.now();
    const { job, runId } = await submit([...endless, "--time", "60", "--sbatch-arg=--signal=B:USR1@115"]);
    await step(runId, 5);
    // Limits are whole minutes; this one ends in one to two, which is after the warning that was asked for.
    const limit = Math.floor((Date.now() - submittedMs) / 60_000) + 2;
    slurm.command("scontrol", "update", `JobId=${job}`, `TimeLimit=${limit}`);
    await eventually("a checkpoint", async () => (await status(runId)).checkpoint ?? undefined, 90_000);
    await state(job, "PENDING");
    const stopped = await home.coord(["stop", runId]);
    expect(stopped.stdout).toContain("waited in Slurm's queue; its job is cancelled");
    await state(job, "CANCELLED");
    expect((await status(runId)).state).toBe("stopped");
    expect(processesOf(runId)).toEqual([]);
  });

  it("leaves nothing of a job that sbatch refuses, and prints a script that bash can read", async () => {
    const flags = ["--launcher", "slurm", "--nodes", "2", "--gpus", "2", ...model, "--output", home.path("never")];
    const before = await readdir(join(home.home, "runs"));
    const refused = await home.coord(["launch", ...flags, "--partition", "nowhere"]);
    expect(refused).toMatchObject({ exitCode: 3 });
    expect(refused.stderr).toMatch(/sbatch refused the job: .*invalid partition/i);
    const injected = await home.coord(["launch", ...flags, "--print", "--sbatch-arg=--mem=1\nreboot"]);
    expect(injected).toMatchObject({ exitCode: 2 });
    const printed = await home.coord(["launch", ...flags, "--print", "--sbatch-arg=--mem=1G"]);
    expect(printed.stdout).toContain("#SBATCH --mem=1G\n");
    expect(await readdir(join(home.home, "runs"))).toEqual(before);
  });
});
