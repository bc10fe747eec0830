import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import getPort from "get-port";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { CoordHome, eventually } from "../support/coord.ts";
import { processesOf } from "../support/killEverything.ts";
import { baseDirectory, coordinatorJob, type Job, kustomization, workerJob } from "../support/manifests.ts";

const command = join(packageRoot(), "dist", "coordinator", "cli", "main.js");
const steps = 30;
const limits = ["--max-steps", String(steps), "--save-steps", "5", "--eval-split", "0"];

/** A container's process. */
interface Pod {
  kill(signal: NodeJS.Signals): void;
  isRunning(): boolean;
  readonly ended: Promise<{ readonly exitCode: number | undefined; readonly stderr: string }>;
}

/** The pods' own command lines, variables and coord.yaml on this host; only paths, the host name and the port are others. */
describe.skipIf(!existsSync("/usr/bin/openssl"))("the Kubernetes base (skipped without /usr/bin/openssl)", () => {
  let home: CoordHome;
  let here: (text: string) => string;
  let pods: Pod[];

  const runVariables = kustomization()
    .configMapGenerator.find(({ name }) => name === "coord-run")!
    .literals!.map((literal) => literal.split("=") as [string, string]);
  const runId = Object.fromEntries(runVariables)["COORD_RUN_ID"]!;

  function startPod(job: Job, index: number, more: readonly string[] = []): Pod {
    const { args, env } = job.spec.template.spec.containers[0]!;
    const local = (text: string) => here(text).replace("$(JOB_COMPLETION_INDEX)", String(index));
    const variables = env.map(({ name, value }) => [name, local(value).replace("/node", `/node-${index}`)] as const);
    const child = execa(process.execPath, [command, ...args.map(local), ...more], {
      cwd: home.root,
      env: { ...Object.fromEntries(runVariables), ...Object.fromEntries(variables) },
      reject: false,
      stdin: "ignore",
      timeout: 120_000,
    });
    const pod: Pod = {
      kill: (signal) => void child.kill(signal),
      isRunning: () => child.exitCode === null && child.signalCode === null,
      ended: child.then(({ exitCode, stderr }) => ({ exitCode, stderr })),
    };
    pods.push(pod);
    return pod;
  }

  beforeEach(async () => {
    pods = [];
    home = await CoordHome.create();
    const port = await getPort();
    here = (text) =>
      text
        .replaceAll("/data/", `${home.root}/`)
        .replaceAll("/etc/coord/", `${home.root}/etc/`)
        .replaceAll("/var/lib/coord", home.path("node"))
        .replaceAll("coord-coordinator", "localhost")
        .replaceAll("29400", String(port));
    const secrets = home.path("secrets");
    execFileSync("sh", [join(baseDirectory, "..", "make-secrets.sh"), secrets]);
    for (const [volume, names] of Object.entries({ token: ["token"], tls: ["tls.crt", "tls.key"], ca: ["ca.crt"] })) {
      await mkdir(home.path("etc", volume), { recursive: true });
      for (const name of names) await writeFile(home.path("etc", volume, name), readFileSync(join(secrets, name)));
    }
    const config = readFileSync(join(baseDirectory, "coord.yaml"), "utf8");
    await writeFile(home.path("etc", "coord.yaml"), here(config));
  });

  afterEach(async () => {
    for (const pod of pods) pod.kill("SIGKILL");
    await Promise.all(pods.map(({ ended }) => ended));
    await home.remove();
  });

  it.each([
    { how: "drained", signal: "SIGTERM", exitCode: 75 },
    { how: "killed", signal: "SIGKILL", exitCode: undefined },
  ] as const)("goes on after the coordinator's pod was $how, and completes both jobs", async ({ exitCode, signal }) => {
    const coordinator = startPod(coordinatorJob(), 0, limits);
    const nodes = Array.from({ length: workerJob().spec.completions }, (_, index) => startPod(workerJob(), index));
    await eventually("step 8", async () =>
      (await home.metrics(runId)).some((line) => (line["step"] ?? 0) >= 8) ? true : undefined,
    );
    coordinator.kill(signal);
    expect(await coordinator.ended).toMatchObject({ exitCode });
    // An agent that ended with 0 now would complete the worker job, and nobody would be left to go on.
    expect(nodes.map((node) => node.isRunning())).toEqual(nodes.map(() => true));

    expect(await startPod(coordinatorJob(), 0, limits).ended).toMatchObject({ exitCode: 0 });
    for (const node of nodes) {
      const end = await node.ended;
      expect(end, end.stderr).toMatchObject({ exitCode: 0 });
    }
    expect(await readdir(home.path("output"))).toEqual(
      expect.arrayContaining(["adapter_model.safetensors", `checkpoint-${steps}`]),
    );
    const done = (await home.metrics(runId)).map((line) => line["step"]);
    expect(new Set(done)).toEqual(new Set(Array.from({ length: steps }, (_, index) => index + 1)));
    expect(processesOf(runId)).toEqual([]);
  });

  it("sends an agent away that comes back when the run is already over", async () => {
    const coordinator = startPod(coordinatorJob(), 0, limits);
    const nodes = Array.from({ length: workerJob().spec.completions }, (_, index) => startPod(workerJob(), index));
    await eventually("step 8", async () =>
      (await home.metrics(runId)).some((line) => (line["step"] ?? 0) >= 8) ? true : undefined,
    );
    // Its worker goes on alone.
    nodes[1]!.kill("SIGSTOP");
    coordinator.kill("SIGKILL");
    await coordinator.ended;
    const next = startPod(coordinatorJob(), 0, limits);
    await eventually("the adapter", async () =>
      existsSync(home.path("output", "adapter_model.safetensors")) ? true : undefined,
    );
    nodes[1]!.kill("SIGCONT");
    for (const pod of [next, ...nodes]) {
      const end = await pod.ended;
      expect(end, end.stderr).toMatchObject({ exitCode: 0 });
    }
    expect(processesOf(runId)).toEqual([]);
  });
});
