import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { CoordHome, eventually, finalDigests } from "../support/coord.ts";
import { DocReader } from "../support/docCommands.ts";
import { killEverything, processesOf, processesOfNode } from "../support/killEverything.ts";
import { launcherContract } from "../support/launcherContract.ts";
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

  launcherContract("Slurm", () => ({
    home,
    flags: ["--launcher", "slurm", "--nodes", "2", "--gpus", "1", "--partition", "debug"],
    loseNode(runId) {
      // Agents are started by srun, which names their program, too.
      for (const pid of processesOfNode(runId, 1)) process.kill(pid, "SIGKILL");
    },
    // The batch step goes as a whole, and slurmd is not told: slurmstepd first, then the script, then the coordinator.
    launcherOf(runId) {
      const file = readFileSync(join(home.home, "runs", runId, "coordinator.json"), "utf8");
      const { pid } = (JSON.parse(file) as { process: { pid: number } }).process;
      return [parentOf(parentOf(pid)), parentOf(pid), pid];
    },
    thingsOf(runId) {
      const jobs = slurm.command("squeue", "--noheader", `--name=coord-${runId}`, "--format=%i");
      return jobs.split("\n").filter((line) => line !== "");
    },
  }));

  it("writes a checkpoint and queues again when Slurm warns it, and goes on to the same bytes", async () => {
    const { job, output, runId } = await submit(["--save-steps", "0"]);
    await step(runId, 5);
    expect((await status(runId)).job).toMatchObject({ id: job, state: "RUNNING", nodes: "n[1-2]" });
    expect((await home.coord(["status", runId])).stdout).toContain(`${job} RUNNING on n[1-2]`);
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

  it("goes on in the same job on the nodes that are left, where --min-nodes allows that", async () => {
    const elastic = ["--min-nodes", "1", "--rejoin-timeout-ms", "2000", "--slots", "4"];
    const { job, output, runId } = await submit(elastic);
    await step(runId, 5);
    slurm.crashNode(2);
    try {
      await finish(runId);
    } finally {
      slurm.startNode(2);
    }
    expect(await finalDigests(output, steps)).toEqual(reference);
    await state(job, "COMPLETED");
    expect(slurm.command("scontrol", "show", "job", job)).toContain("Restarts=0");
    const words = (await home.events(runId)).map(({ message }) => message).join("\n");
    expect(words).toContain("The 2 workers that are left of 4 are ready");
    expect(processesOf(runId)).toEqual([]);
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

  it("does what its page says, command by command", async () => {
    const settings = { COORD_MAX_STEPS: String(steps), COORD_THREADS_PER_WORKER: "1", COORD_SAVE_STEPS: "0" };
    const env = { ...slurm.env, ...settings, ...slowedDown(stepMs) };
    const reader = new DocReader("slurm/README.md", { home, directory: home.path("reader"), env });
    const output = home.path("typed");
    const places = { MODEL: home.path("model"), DATA: home.path("rows.jsonl"), OUT: output };
    const shape = { "--gpus 8": "--gpus 2" };
    await reader.type("sinfo");
    const submitted = await reader.type("coord launch", {
      ...shape,
      ...places,
      "--partition gpu": "--partition debug",
    });
    const RUN = /[Rr]un (\S+) is Slurm job/.exec(submitted.stdout)![1]!;
    runs.push(RUN);
    const printed = await reader.type("coord launch", shape);
    expect(printed.stdout).toContain("#SBATCH --gres=gpu:2\n");
    await step(RUN, 2);
    expect((await reader.type("coord status", { RUN })).stdout).toMatch(/RUNNING on n\[1-2\]/);
    await reader.type("coord attach", { RUN }, /step|%/i);
    expect((await reader.type("coord stop", { RUN })).stdout).toMatch(/stopped after step/);
    await eventually("idle nodes", async () => slurm.idleNodes() === 2 || undefined, 90_000);
    await reader.type("coord resume", { RUN });
    await finish(RUN);
    expect(await readdir(output)).toContain(`checkpoint-${steps}`);
    await reader.type("coord kill-stale");
    expect(reader.left).toEqual([]);
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

function parentOf(pid: number): number {
  return Number(
    readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /, "")
      .split(" ")[1],
  );
}
