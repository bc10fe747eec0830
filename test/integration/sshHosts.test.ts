import { readFileSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { packageVersion } from "../../shared/process/packageVersion.ts";
import { CoordHome, eventually, finalDigests } from "../support/coord.ts";
import { DocReader } from "../support/docCommands.ts";
import { commandLine, environment, killEverything, processesOf } from "../support/killEverything.ts";
import { launcherContract } from "../support/launcherContract.ts";
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

  it("trains on hosts with other numbers of GPUs, with TLS, also when a cable is pulled out and plugged in again", async () => {
    const { output, runId } = await launch(["--heartbeat-timeout-ms", "2000"]);
    await step(runId, 5);
    const { generation: before, workers } = await status(runId);
    expect(workers.map(({ host, node }) => `${node} ${host}`)).toEqual(["0 host1", "1 host2", "1 host2"]);
    const [token, ...certificates] = readFileSync(join(home.home, "runs", runId, "token"), "utf8")
      .trim()
      .split("\n");
    expect(certificates.length).toBeGreaterThan(3);
    expect(
      processesOf(runId)
        .map(commandLine)
        .filter((line) => line.includes(token!)),
    ).toEqual([]);
    hosts.cable(2, "down");
    await eventually("the host's loss", async () => ((await status(runId)).state === "forming" ? true : undefined));
    hosts.cable(2, "up");
    await finish(runId);
    expect(await finalDigests(output, steps)).toEqual(reference);
    expect(Number(readFileSync(join(home.home, "runs", runId, "generation"), "utf8"))).toBeGreaterThan(before);
    expect(processesOf(runId)).toEqual([]);
    expect(await readdir(join(hosts.home(2), "runs", runId))).toEqual(["logs", "processes"]);
  });

  it("comes to the same bytes over a narrow and a lossy line", async () => {
    hosts.rate(1, "20mbit");
    hosts.loss(2, 10);
    const { output, runId } = await launch();
    await finish(runId);
    expect(await finalDigests(output, steps)).toEqual(reference);
  });

  it("does what its page says, command by command", async () => {
    const env = { COORD_SSH_ARG: hosts.sshFlags.join("").replaceAll("--ssh-arg=", "") };
    const settings = { COORD_MAX_STEPS: "4", COORD_THREADS_PER_WORKER: "1", COORD_MAX_LENGTH: "64" };
    const reader = new DocReader("ssh/README.md", {
      home,
      directory: home.path("reader"),
      env: { ...env, ...settings },
    });
    const [first, second] = hosts.addresses as [string, string];
    const names = { "alice@gpu1": `root@${first}` };
    const places = (output: string) => ({ MODEL: home.path("model"), DATA: home.path("rows.jsonl"), OUT: output });
    await reader.type("ssh", { ...names, "ssh ": `ssh ${hosts.sshFlags.join(" ").replaceAll("--ssh-arg=", "")} ` });
    const launched = { ...names, "gpu2:4": `${second}:2`, ":8": ":1", ...places(home.path("typed")) };
    await reader.type("coord launch --hosts", launched);
    const file = /^ {4}# hosts\.txt\n(?: {4}.*\n)+/m.exec(reader.text)![0];
    const ours = file.replace("alice@gpu1", `root@${first}`).replace("gpu2:2222", `${second}:22`);
    await writeFile(home.path("reader", "hosts.txt"), ours.replace("slots=8", "slots=1").replace("slots=4", "slots=2"));
    await reader.type("coord launch --hostfile", places(home.path("typed-too")));
    expect(await finalDigests(home.path("typed-too"), 4)).toEqual(await finalDigests(home.path("typed"), 4));
    await reader.type("coord launch --hostfile", {
      ...places(home.path("typed-elsewhere")),
      eth1: hosts.interface,
      npx: reader.program("npx"),
      VERSION: packageVersion(),
    });
    expect(await finalDigests(home.path("typed-elsewhere"), 4)).toEqual(await finalDigests(home.path("typed"), 4));
    await reader.type("coord kill-stale --dry-run");
    await reader.type("coord kill-stale");
    expect(reader.left).toEqual([]);
  });

  launcherContract("ssh", () => ({
    home,
    flags: hosts.flags(1, 1),
    loseNode() {
      hosts.crash(2);
      hosts.boot(2);
    },
    // The launching host dies: the coordinator, what watches over it, and the ssh connections.
    launcherOf: (runId) => processesOf(runId).filter((pid) => !isOn(hosts, pid)),
  }));
});

function isOn(hosts: TestHosts, pid: number): boolean {
  return [1, 2].some((number) => environment(pid).includes(`COORD_HOME=${hosts.home(number)}`));
}
