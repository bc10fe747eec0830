import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa, type ResultPromise } from "execa";
import getPort from "get-port";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { CoordHome, eventually } from "../support/coord.ts";
import { processesOf } from "../support/killEverything.ts";
import { baseDirectory, coordinatorJob, type Job, kustomization, workerJob } from "../support/manifests.ts";

const command = join(packageRoot(), "dist", "coordinator", "cli", "main.js");
const steps = 30;
const hasOpenssl = existsSync("/usr/bin/openssl");

/** The pods' own command lines, variables and coord.yaml on this host; only paths, the host name and the port are others. */
describe.skipIf(!hasOpenssl)("the Kubernetes base (skipped without /usr/bin/openssl)", () => {
  let home: CoordHome;
  let here: (text: string) => string;
  const pods: ResultPromise[] = [];

  const runVariables = kustomization()
    .configMapGenerator.find(({ name }) => name === "coord-run")!
    .literals!.map((literal) => literal.split("=") as [string, string]);
  const runId = Object.fromEntries(runVariables)["COORD_RUN_ID"]!;

  function startPod(job: Job, index: number, more: readonly string[] = []): ResultPromise {
    const { args, env } = job.spec.template.spec.containers[0]!;
    const local = (text: string) => here(text).replace("$(JOB_COMPLETION_INDEX)", String(index));
    const variables = env.map(({ name, value }) => [name, local(value).replace("/node", `/node-${index}`)]);
    const pod = execa(process.execPath, [command, ...args.map(local), ...more], {
      cwd: home.root,
      env: { ...Object.fromEntries(runVariables), ...Object.fromEntries(variables) },
      reject: false,
      stdin: "ignore",
    });
    pods.push(pod);
    return pod;
  }

  beforeAll(async () => {
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

  afterAll(async () => {
    for (const pod of pods) pod.kill("SIGKILL");
    await Promise.all(pods);
    await home.remove();
  });

  it("trains, goes on after the coordinator's pod was drained, and completes both jobs", async () => {
    const limits = ["--max-steps", String(steps), "--save-steps", "5", "--eval-split", "0"];
    const drained = startPod(coordinatorJob(), 0, limits);
    const nodes = Array.from({ length: workerJob().spec.completions }, (_, index) => startPod(workerJob(), index));
    await eventually("step 8", async () =>
      (await home.metrics(runId)).some((line) => (line["step"] ?? 0) >= 8) ? true : undefined,
    );
    drained.kill("SIGTERM");
    const first = await drained;
    expect(first.exitCode, String(first.stderr)).toBe(75);

    const second = await startPod(coordinatorJob(), 0, limits);
    expect(second.exitCode, String(second.stderr)).toBe(0);
    for (const node of nodes) expect((await node).exitCode).toBe(0);

    expect(await readdir(home.path("output"))).toEqual(
      expect.arrayContaining(["adapter_model.safetensors", `checkpoint-${steps}`]),
    );
    const counted = (await home.metrics(runId)).flatMap((line) => (line["loss"] === undefined ? [] : line["step"]));
    expect(new Set(counted)).toEqual(new Set(Array.from({ length: steps }, (_, index) => index + 1)));
    expect(processesOf(runId)).toEqual([]);
  });
});
