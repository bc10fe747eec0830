import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { RunDirectory } from "../../coordinator/runs/runDirectory.ts";
import { formatStaleReport } from "../../coordinator/stale/formatStaleReport.ts";
import { killStale } from "../../coordinator/stale/killStale.ts";
import { runConfigSchema } from "../../shared/config/schema.ts";
import { isAlive, type ProcessIdentity, readIdentity } from "../../shared/process/identity.ts";
import { type ProcessRole, readProcessRecords, writeProcessRecord } from "../../shared/process/record.ts";
import { terminate } from "../../shared/process/terminate.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

const config = runConfigSchema.parse({});
const children = new Set<ChildProcess>();

afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  children.clear();
});

/** Programs under the names of ours that wait to be ended; `stubborn` ones ignore SIGTERM. */
function installPrograms(root: string): (name: string) => string {
  const stay = 'process.stdout.write("up"); setInterval(() => {}, 1000);';
  for (const name of ["worker/main.js", "worker/agentMain.js", "coordinator/main.js"]) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), `if (process.env.STUBBORN) process.on("SIGTERM", () => {});\n${stay}`);
  }
  return (name) => join(root, name);
}

interface Dummy {
  readonly child: ChildProcess;
  readonly identity: ProcessIdentity;
}

async function start(args: readonly string[], environment: Record<string, string>): Promise<Dummy> {
  const { COORD_RUN_ID: _run, COORD_HOME: _home, ...inherited } = process.env;
  const child = spawn(process.execPath, args, {
    env: { ...inherited, ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.add(child);
  await once(child.stdout!, "data");
  return { child, identity: readIdentity(child.pid!)! };
}

async function end({ child }: Dummy): Promise<void> {
  child.kill("SIGKILL");
  await once(child, "exit");
}

describe("killStale", () => {
  it("ends exactly the orphans of a dead run", async () => {
    const home = temporaryDirectory();
    const program = installPrograms(join(home, "dist"));
    const dead = await RunDirectory.create(home, { config, output: join(home, "dead") });
    const live = await RunDirectory.create(home, { config, output: join(home, "live") });
    const record = (run: RunDirectory, role: ProcessRole, identity: ProcessIdentity, rank?: number) =>
      writeProcessRecord(run.paths.processes, {
        runId: run.runId,
        role,
        ...(rank === undefined ? {} : { rank }),
        startedAtMs: Date.now(),
        user: "ann",
        identity,
      });
    const startOf = (run: RunDirectory, name: string, environment: Record<string, string> = {}) =>
      start([program(name)], { COORD_RUN_ID: run.runId, COORD_HOME: home, ...environment });

    const coordinators = [await startOf(dead, "coordinator/main.js"), await startOf(live, "coordinator/main.js")];
    for (const [index, run] of [dead, live].entries()) {
      await run.writeCoordinator({ address: "127.0.0.1:1", process: coordinators[index]!.identity });
    }
    const recorded = await startOf(dead, "worker/agentMain.js", { NODE_RANK: "1" });
    await record(dead, "agent", recorded.identity);
    const unrecorded = await startOf(dead, "worker/main.js", { RANK: "3", CUDA_VISIBLE_DEVICES: "7" });
    const stubborn = await startOf(dead, "worker/main.js", { RANK: "2", STUBBORN: "1" });
    await record(dead, "worker", stubborn.identity, 2);

    const spared = {
      coordinator: coordinators[1]!,
      worker: await startOf(live, "worker/main.js"),
      withoutRun: await start([program("worker/main.js")], {}),
      otherHome: await start([program("worker/main.js")], { COORD_RUN_ID: dead.runId, COORD_HOME: "/elsewhere" }),
      noProgram: await start(["-e", 'process.stdout.write("up"); setInterval(() => {}, 1000)', "worker/main.js"], {
        COORD_RUN_ID: dead.runId,
        COORD_HOME: home,
      }),
    };
    await record(live, "worker", spared.worker.identity);
    const forgedPath = await record(dead, "worker", { ...spared.noProgram.identity, startTime: "12345" });
    await end(coordinators[0]!);

    const options = { home, allRuns: false, graceMs: 200 };
    const preview = await killStale({ ...options, dryRun: true });
    const orphans = [recorded, unrecorded, stubborn];
    expect(preview.processes.map(({ pid }) => pid).sort()).toEqual(orphans.map(({ identity }) => identity.pid).sort());
    expect(orphans.every(({ identity }) => isAlive(identity))).toBe(true);
    expect(existsSync(forgedPath)).toBe(true);

    const report = await killStale({ ...options, dryRun: false });
    expect(orphans.some(({ identity }) => isAlive(identity))).toBe(false);
    for (const [name, { identity }] of Object.entries(spared)) expect(isAlive(identity), name).toBe(true);
    expect(report.processes).toHaveLength(3);
    expect(report.processes.find(({ pid }) => pid === recorded.identity.pid)).toMatchObject({
      role: "agent",
      nodeRank: 1,
      outcome: "terminated",
    });
    expect(report.processes.find(({ pid }) => pid === unrecorded.identity.pid)).toMatchObject({
      role: "worker",
      rank: 3,
      gpu: "7",
      outcome: "terminated",
    });
    expect(report.processes.find(({ pid }) => pid === stubborn.identity.pid)).toMatchObject({ outcome: "killed" });
    expect(report.freedResidentBytes).toBeGreaterThan(1_000_000);
    expect(readdirSync(dead.paths.processes)).toEqual([]);
    expect((await readProcessRecords(live.paths.processes, live.runId)).records).toHaveLength(1);
    expect(formatStaleReport(report, { columns: 200 })).toContain("Ended 3 processes of 1 run");

    expect((await killStale({ ...options, dryRun: false })).processes).toEqual([]);
  });

  it("frees the port and the GPU memory of an orphan, and leaves a stranger on the same GPU alone", async () => {
    const home = temporaryDirectory();
    const program = installPrograms(join(home, "dist"));
    const listen =
      'require("net").createServer().listen(0, "127.0.0.1", function () { process.stdout.write(String(this.address().port)) });';
    writeFileSync(program("worker/main.js"), listen);
    const run = await RunDirectory.create(home, { config, output: join(home, "out") });
    const { COORD_RUN_ID: _run, COORD_HOME: _home, ...inherited } = process.env;
    const env = { ...inherited, COORD_RUN_ID: run.runId, COORD_HOME: home, RANK: "0", CUDA_VISIBLE_DEVICES: "1" };
    const child = spawn(process.execPath, [program("worker/main.js")], { env, stdio: ["ignore", "pipe", "inherit"] });
    children.add(child);
    const [text] = (await once(child.stdout!, "data")) as [Buffer];
    const port = Number(text.toString());
    const stranger = await start(["-e", 'process.stdout.write("up"); setInterval(() => {}, 1000)'], {});
    const coordinator = await start([program("coordinator/main.js")], { COORD_RUN_ID: run.runId, COORD_HOME: home });
    await run.writeCoordinator({ address: "127.0.0.1:1", process: coordinator.identity });
    await end(coordinator);

    // Says what nvidia-smi says of compute processes, on two GPUs.
    const bin = join(home, "bin");
    mkdirSync(bin);
    const lines = `${child.pid}, 6000\n${child.pid}, 144\n${stranger.identity.pid}, 800\n4000000, [N/A]`;
    writeFileSync(join(bin, "nvidia-smi"), `#!/bin/sh\ncat <<'END'\n${lines}\nEND\n`, { mode: 0o755 });
    const path = process.env["PATH"];
    process.env["PATH"] = `${bin}:${path}`;
    try {
      const report = await killStale({ home, allRuns: false, graceMs: 2000, dryRun: false });
      expect(report.processes).toMatchObject([{ pid: child.pid, ports: [port], gpu: "1", outcome: "terminated" }]);
      expect(report.freedGpuBytes).toBe(6144 * 2 ** 20);
      const shown = formatStaleReport(report, { columns: 200 });
      expect(shown).toContain(
        `freed ${/[\d.]+ [KM]iB/.exec(shown)![0]} of memory, 6.0 GiB of GPU memory, port ${port}.`,
      );
    } finally {
      process.env["PATH"] = path;
    }
    expect(isAlive(stranger.identity)).toBe(true);
    const again = createServer().listen(port, "127.0.0.1");
    await once(again, "listening");
    again.close();
  });

  it("ends live runs of this home too when all are asked for, and nothing else", async () => {
    const home = temporaryDirectory();
    const program = installPrograms(join(home, "dist"));
    const run = await RunDirectory.create(home, { config, output: join(home, "out") });
    const environment = { COORD_RUN_ID: run.runId, COORD_HOME: home };
    const coordinator = await start([program("coordinator/main.js")], environment);
    await run.writeCoordinator({ address: "127.0.0.1:1", process: coordinator.identity });
    const worker = await start([program("worker/main.js")], environment);
    const stranger = await start([program("worker/main.js")], {});

    const options = { home, dryRun: false, graceMs: 5000 };
    expect(await killStale({ ...options, allRuns: false })).toMatchObject({ processes: [], spared: [{}, {}] });
    const report = await killStale({ ...options, allRuns: true });
    expect(report.processes.map(({ role, outcome }) => [role, outcome])).toEqual([
      ["coordinator", "terminated"],
      ["worker", "terminated"],
    ]);
    expect([coordinator, worker, stranger].map(({ identity }) => isAlive(identity))).toEqual([false, false, true]);
  });
});

describe("terminate", () => {
  it("never signals this process, its parents, PID 1, or a process of another run", async () => {
    const other = await start(["-e", 'process.stdout.write("up"); setInterval(() => {}, 1000)'], { COORD_RUN_ID: "b" });
    for (const pid of [1, process.pid, process.ppid]) {
      expect(await terminate(readIdentity(pid)!, { graceMs: 0 })).toBe("not-ours");
    }
    expect(await terminate(other.identity, { graceMs: 0, expectRunId: "a" })).toBe("not-ours");
    expect(await terminate({ ...other.identity, startTime: "1" }, { graceMs: 0 })).toBe("gone");
    expect(isAlive(other.identity)).toBe(true);
    expect(await terminate(other.identity, { graceMs: 5000, expectRunId: "b" })).toBe("terminated");
    expect(await terminate(other.identity, { graceMs: 5000, expectRunId: "b" })).toBe("gone");
  });

  it("stops waiting when asked to, without a further signal", async () => {
    const script = 'process.on("SIGTERM", () => {}); process.stdout.write("up"); setInterval(() => {}, 1000)';
    const stubborn = await start(["-e", script], {});
    const controller = new AbortController();
    const ending = terminate(stubborn.identity, { graceMs: 60_000, signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(ending).rejects.toThrow("enough");
    expect(isAlive(stubborn.identity)).toBe(true);
  });
});
