import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { sharedMemoryDirectory } from "../../shared/runPaths.ts";
import { CoordHome, eventually } from "../support/coord.ts";
import { processesOf } from "../support/killEverything.ts";
import { smallRun } from "../support/smallRun.ts";

interface Report {
  readonly processes: readonly { readonly pid: number; readonly role: string; readonly outcome: string }[];
}

interface Status {
  readonly state: string;
  readonly step: number;
}

describe("kill-stale beside a live run, a look-alike and a forged record", () => {
  let home: CoordHome;
  let flags: string[];
  let lookAlike: ChildProcess;
  beforeAll(async () => {
    home = await CoordHome.create();
    flags = [...(await smallRun(home)), "--max-steps", "100000", "--save-steps", "0"];
    // The command line of a worker, but nothing of ours in its environment.
    const worker = join(packageRoot(), "dist", "worker", "main.js");
    lookAlike = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)", worker], { stdio: "ignore" });
    await once(lookAlike, "spawn");
  });
  afterAll(async () => {
    lookAlike.kill("SIGKILL");
    await home.coord(["kill-stale", "--all-runs"]);
    await home.remove();
  });

  const training = (run: string) =>
    eventually(`${run} to train`, async () => {
      const status = await home.json<Status>(["status", run]);
      return status.state === "training" && status.step > 0 ? status : undefined;
    });

  it("ends exactly the orphans of a murdered coordinator and its agents", async () => {
    const dead = await home.launch([...flags, "--nodes", "2", "--gpus", "1", "--output", home.path("dead")]);
    const live = await home.launch([...flags, "--nodes", "1", "--gpus", "2", "--output", home.path("live")]);
    await training(dead);
    const before = await training(live);

    const all = processesOf(dead);
    const isWorker = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("worker/main.js");
    const orphans = all.filter(isWorker);
    expect(orphans).toHaveLength(2);
    for (const pid of all) if (!isWorker(pid)) process.kill(pid, "SIGKILL");
    await writeForgedRecord(dead, lookAlike.pid!);

    const shown = await home.json<Report>(["kill-stale", "--dry-run"]);
    expect(shown.processes.map(({ pid }) => pid).sort()).toEqual(orphans.sort());
    expect(processesOf(dead).sort()).toEqual(orphans.sort());

    const report = await home.json<Report>(["kill-stale"]);
    expect(report.processes.map(({ pid }) => pid).sort()).toEqual(orphans.sort());
    expect(processesOf(dead)).toEqual([]);
    // Gradients in shared memory take up the host's memory until they are removed.
    expect(existsSync(sharedMemoryDirectory(home.home, dead))).toBe(false);
    expect(existsSync(sharedMemoryDirectory(home.home, live))).toBe(existsSync("/dev/shm"));

    expect(lookAlike.exitCode).toBeNull();
    const after = await eventually("the live run to go on", async () => {
      const status = await home.json<Status>(["status", live]);
      return status.step > before.step ? status : undefined;
    });
    expect(after.state).toBe("training");
    expect((await home.json<Report>(["kill-stale", "--dry-run"])).processes).toEqual([]);
  });

  /** A record of the dead run that names a living process which has got the PID since. */
  async function writeForgedRecord(run: string, pid: number): Promise<void> {
    const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const record = {
      runId: run,
      role: "worker",
      nodeRank: 0,
      localRank: 7,
      rank: 7,
      startedAtMs: Date.now(),
      user: "root",
      identity: { pid, startTime: "1", bootId },
    };
    await writeFile(join(home.home, "runs", run, "processes", `worker-${pid}.json`), JSON.stringify(record));
  }
});
