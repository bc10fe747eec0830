import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { CoordHome, eventually, finalDigests } from "../support/coord.ts";
import { killEverything, processesOf } from "../support/killEverything.ts";
import { slowedDown, smallRun } from "../support/smallRun.ts";
import { TestHosts, whyNoHosts } from "../support/testHosts.ts";

const skipped = whyNoHosts();
const steps = 60;
/** Milliseconds that a step takes at least. */
const stepMs = 200;

interface Status {
  readonly state: string;
  readonly generation: number;
  readonly workers: readonly { readonly host: string; readonly node: number; readonly restarts: number }[];
}

describe.skipIf(skipped)(`coord launch --hosts${skipped ? ` (skipped: ${skipped})` : ""}`, () => {
  let home: CoordHome;
  let hosts: TestHosts;
  let model: string[];
  let reference: { adapter: string; optimizer: string };
  let runs: string[];
  let number = 0;

  beforeAll(async () => {
    home = await CoordHome.create();
    hosts = TestHosts.up(home.path("hosts"), 2);
    model = [...(await smallRun(home, 60)), "--max-steps", String(steps), "--slots", "3"];
    await finish(await home.launch([...model, "--gpus", "3", "--output", home.path("local")]));
    reference = await finalDigests(home.path("local"), steps);
  });
  beforeEach(() => {
    runs = [];
  });
  afterEach(async () => {
    for (const runId of runs) await killEverything(runId);
  });
  afterAll(async () => {
    hosts?.down();
    await home?.remove();
  });

  /** Three workers on two hosts, slow enough that a test meets them at work. */
  async function launch(flags: readonly string[] = []): Promise<{ runId: string; output: string }> {
    const output = home.path(`out${++number}`);
    const env = Object.entries(slowedDown(stepMs)).flatMap(([name, value]) => ["--env", `${name}=${value}`]);
    const runId = await home.launch([...model, ...hosts.flags(1, 2), ...env, "--output", output, ...flags]);
    runs.push(runId);
    return { runId, output };
  }

  async function finish(runId: string): Promise<void> {
    const { exitCode, stderr, stdout } = await home.coord(["attach", runId]);
    if (exitCode !== 0) throw new Error(`${stdout}\n${stderr}\n${JSON.stringify(await home.events(runId))}`);
  }

  const status = (runId: string) => home.json<Status>(["status", runId]);
  const step = (runId: string, wanted: number) =>
    eventually(`step ${wanted}`, async () =>
      (await home.metrics(runId)).some((line) => (line["step"] ?? 0) >= wanted) ? true : undefined,
    );

  it("trains across hosts with TLS to the bytes of a local run, and leaves no process and no credential behind", async () => {
    const { output, runId } = await launch();
    await step(runId, 1);
    const { workers } = await status(runId);
    expect(workers.map(({ host, node }) => `${node} ${host}`)).toEqual(["0 host1", "1 host2", "1 host2"]);
    const commandLines = processesOf(runId).map((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8"));
    const [token, ...certificates] = readFileSync(join(home.home, "runs", runId, "token"), "utf8")
      .trim()
      .split("\n");
    expect(certificates.length).toBeGreaterThan(3);
    expect(commandLines.filter((line) => line.includes(token!))).toEqual([]);
    await finish(runId);
    expect(await finalDigests(output, steps)).toEqual(reference);
    expect(processesOf(runId)).toEqual([]);
    expect(await readdir(join(hosts.home(2), "runs", runId))).toEqual(["logs", "processes"]);
  });

  it("goes on after the cable of a host was pulled out and plugged in again", async () => {
    const { output, runId } = await launch(["--heartbeat-timeout-ms", "2000"]);
    await step(runId, 5);
    const before = (await status(runId)).generation;
    hosts.cable(2, "down");
    await eventually("the host's loss", async () => ((await status(runId)).state === "forming" ? true : undefined));
    hosts.cable(2, "up");
    await finish(runId);
    expect(await finalDigests(output, steps)).toEqual(reference);
    expect(Number(readFileSync(join(home.home, "runs", runId, "generation"), "utf8"))).toBeGreaterThan(before);
  });

  it("goes on after a host was rebooted", async () => {
    const { output, runId } = await launch();
    await step(runId, 5);
    hosts.crash(2);
    await eventually("word of it", async () =>
      (await home.events(runId)).some(({ message }) => /agent of node 1/.test(message)) ? true : undefined,
    );
    hosts.boot(2);
    await finish(runId);
    expect(await finalDigests(output, steps)).toEqual(reference);
    expect(processesOf(runId)).toEqual([]);
  });

  it("goes on after the coordinator was killed, with the agents that are there", async () => {
    const { output, runId } = await launch();
    await step(runId, 5);
    const agents = agentsOf(runId);
    expect(agents).toHaveLength(2);
    const before = (await status(runId)).generation;
    killCoordinator(runId);
    await eventually("a new generation", async () => {
      const now = await home.json<Status>(["status", runId]).catch(() => undefined);
      return now && now.state === "training" && now.generation > before ? true : undefined;
    });
    expect(agentsOf(runId)).toEqual(agents);
    await finish(runId);
    expect(await finalDigests(output, steps)).toEqual(reference);
    expect((await home.events(runId)).filter(({ message }) => /agent of node/.test(message))).toEqual([]);
    // What had started the second coordinator looks every half second whether the run is over.
    await eventually("no process", async () => (processesOf(runId).length === 0 ? true : undefined), 5000);
  });

  it("comes to the same bytes over a narrow and a lossy line", async () => {
    hosts.rate(1, "20mbit");
    hosts.loss(2, 10);
    const { output, runId } = await launch();
    await finish(runId);
    expect(await finalDigests(output, steps)).toEqual(reference);
  });

  it("has kill-stale end what a murdered launcher has left on all hosts", async () => {
    const { runId } = await launch();
    await step(runId, 5);
    // The launching host dies: the coordinator, what watches over it, and the ssh connections.
    const here = processesOf(runId).filter((pid) => !isOn(hosts, pid));
    for (const pid of here) process.kill(pid, "SIGKILL");
    expect(processesOf(runId).length).toBeGreaterThanOrEqual(5);
    const dry = await home.coord(["kill-stale", "--dry-run"]);
    expect(dry.stdout).toMatch(/Would end/);
    expect(processesOf(runId).length).toBeGreaterThanOrEqual(5);
    const { exitCode, stdout } = await home.coord(["kill-stale"]);
    expect(stdout).toContain(`Host ${hosts.addresses[0]}, run ${runId}`);
    expect(exitCode).toBe(0);
    expect(processesOf(runId)).toEqual([]);
  });

  function agentsOf(runId: string): number[] {
    return processesOf(runId).filter((pid) => /[/]agentMain/.test(readFileSync(`/proc/${pid}/cmdline`, "utf8")));
  }

  function killCoordinator(runId: string): void {
    const { process: coordinator } = JSON.parse(
      readFileSync(join(home.home, "runs", runId, "coordinator.json"), "utf8"),
    ) as { process: { pid: number } };
    process.kill(coordinator.pid, "SIGKILL");
  }
});

function isOn(hosts: TestHosts, pid: number): boolean {
  return readFileSync(`/proc/${pid}/environ`, "utf8").includes(`COORD_HOME=${hosts.home(1).replace(/1\/home$/, "")}`);
}
