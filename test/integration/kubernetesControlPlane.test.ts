import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:https";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { parse, parseAllDocuments, stringify } from "yaml";
import { runSelector } from "../../coordinator/launch/kubernetes/agentObjects.ts";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { CoordHome, sha256 } from "../support/coord.ts";
import { DocReader } from "../support/docCommands.ts";
import { environment, processesOf } from "../support/killEverything.ts";
import { namespace, TestCluster, whyNoCluster } from "../support/kubernetes/testCluster.ts";
import { launcherContract } from "../support/launcherContract.ts";
import { slowedDown } from "../support/smallRun.ts";

const skipped = whyNoCluster();
const steps = 24;
const settings = { max_steps: steps, save_steps: 6, logging_steps: 1, threads_per_worker: 1, device: "cpu" };
const flags = Object.entries(settings).flatMap(([key, value]) => [`--${key.replaceAll("_", "-")}`, String(value)]);

// The scheduler, the controllers and the API server are Kubernetes' own; only the kubelet is ours.
describe.skipIf(skipped)(`the manifests on a real control plane${skipped ? ` (skipped: ${skipped})` : ""}`, () => {
  let home: CoordHome;
  let cluster: TestCluster;
  let expected: string;

  beforeAll(async () => {
    home = await CoordHome.create();
    const output = home.path("local");
    const local = await home.coord(["launch", "--nodes", "2", "--gpus", "1", "--output", output, ...flags]);
    expect(local.exitCode, local.stderr).toBe(0);
    expected = await sha256(join(output, "adapter_model.safetensors"));
    cluster = await TestCluster.start(home);
  });

  afterEach(() => cluster.clear());

  afterAll(async () => {
    await cluster?.stop();
    await home?.remove();
  });

  async function expectSameAdapter(): Promise<void> {
    await cluster.succeeded("coord-coordinator");
    await cluster.succeeded("coord-worker");
    expect(await sha256(join(cluster.volume, "output", "adapter_model.safetensors"))).toBe(expected);
  }

  it("have no field that Kubernetes, JobSet and Kubeflow Trainer do not know, in any overlay", () => {
    cluster.plane.kubectl("apply", "-f", join(cluster.bin, "definitions"), "--server-side");
    cluster.plane.kubectl("create", "namespace", namespace);
    const directory = cluster.copyManifests(settings);
    for (const overlay of ["../base", ...readdirSync(join(directory, "overlays"))]) {
      const built = parseAllDocuments(cluster.plane.kubectl("kustomize", join(directory, "overlays", overlay)));
      // Kueue's definitions are not at hand; its queue is one name.
      const objects = built.map((document) => document.toJS()).filter(({ kind }) => kind !== "LocalQueue");
      expect(objects.length).toBeGreaterThan(10);
      const file = home.path("built.json");
      writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }));
      const applied = cluster.plane.kubectl("apply", "--validate=strict", "--dry-run=server", "-f", file);
      expect(applied.trim().split("\n"), overlay).toHaveLength(objects.length);
    }
    const wrong = readFileSync(home.path("built.json"), "utf8").replaceAll('"completionMode"', '"completionsMode"');
    writeFileSync(home.path("wrong.json"), wrong);
    const refuse = () =>
      cluster.plane.kubectl("apply", "--validate=strict", "--dry-run=server", "-f", home.path("wrong.json"));
    expect(refuse).toThrow(/unknown field .*completionsMode/);
  });

  it("train to the adapter that a run on one host ends with, and Prometheus may read its figures", async () => {
    const directory = cluster.apply(settings, "overlays/monitoring");
    await cluster.stepReached(1);
    const secrets = join(directory, "base", "secrets");
    const scrape = (token: string) =>
      new Promise<string>((resolve, reject) => {
        const ca = readFileSync(join(secrets, "ca.crt"));
        const headers = { Authorization: `Bearer ${token}` };
        const where = {
          host: cluster.kubelet.podAddress,
          port: 29401,
          path: "/metrics",
          servername: "coord-coordinator",
          ca,
          headers,
        };
        const request = get(where, async (response) => {
          resolve(`${response.statusCode} ${(await response.setEncoding("utf8").toArray()).join("")}`);
        });
        request.on("error", reject);
      });
    expect(await scrape(readFileSync(join(secrets, "viewer-token"), "utf8"))).toMatch(
      /^200 .*coord_step_duration_seconds/s,
    );
    expect(await scrape(readFileSync(join(secrets, "token"), "utf8"))).toMatch(/^401/);
    await expectSameAdapter();
  });

  describe("launched from outside", () => {
    beforeEach(() => {
      cluster.plane.kubectl("create", "namespace", namespace);
    });

    launcherContract("Kubernetes", () => ({
      home,
      flags: [...cluster.flags, "--nodes", "2", "--gpus", "1"],
      env: cluster.env,
      loseNode: (runId) => cluster.kubelet.kill(cluster.kubelet.running(`coord-${runId}`)[0]!),
      launcherOf: (runId) =>
        processesOf(runId).filter((pid) => !environment(pid).includes("COORD_HOME=/var/lib/coord")),
      thingsOf(runId) {
        const found = cluster.plane.kubectl(
          "get",
          "job,secret,pod",
          "-n",
          namespace,
          "-l",
          runSelector(runId),
          "-o",
          "name",
        );
        return found.split("\n").filter((line) => line !== "");
      },
    }));

    it("refuses to start where the cluster does not answer or nothing may be created", async () => {
      const nowhere = { ...cluster.env, KUBECONFIG: home.path("none") };
      const unanswered = await home.coord(["launch", ...cluster.flags, ...flags], nowhere);
      expect(unanswered).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("The cluster cannot be asked") });
      const noKubectl = await home.coord(["launch", ...cluster.flags, ...flags], { PATH: "/nonexistent" });
      expect(noKubectl).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("kubectl is not on the PATH") });
    });
  });

  it("train to the same adapter when a worker's pod is deleted, and later the coordinator's killed", async () => {
    cluster.apply(settings);
    await cluster.stepReached(4);
    cluster.plane.kubectl(
      "delete",
      "pod",
      cluster.kubelet.running("coord-worker")[0]!,
      "-n",
      namespace,
      "--wait=false",
    );
    await cluster.stepReached(8);
    cluster.kubelet.kill(cluster.kubelet.running("coord-coordinator")[0]!);
    await expectSameAdapter();
  });

  it("do what their page says, command by command", async () => {
    const directory = home.path("reader");
    const manifests = cluster.copyManifests(settings, { directory: join(directory, "deploy", "k8s") });
    rmSync(join(manifests, "base", "secrets"), { recursive: true, force: true });
    const kustomization = join(manifests, "base", "kustomization.yaml");
    const slow = Object.entries(slowedDown(250)).map(([name, value]) => `      - ${name}=${value}\n`);
    // Slow enough to be looked at.
    const text = readFileSync(kustomization, "utf8").replace(/( +- COORD_RUN_ID=.*\n)/, `$1${slow.join("")}`);
    writeFileSync(kustomization, text);
    cluster.offerVolume();
    const program = join(packageRoot(), "dist", "coordinator", "cli", "main.js");
    const reader = new DocReader("k8s/README.md", {
      home,
      directory,
      env: {
        ...cluster.env,
        KUBECTL: join(cluster.bin, "kubectl"),
        KUBELET: home.path("nodes"),
        COORD: `${process.execPath} ${program}`,
        ...Object.fromEntries(
          Object.entries(settings).map(([key, value]) => [`COORD_${key.toUpperCase()}`, String(value)]),
        ),
      },
      programs: { kubectl: `exec ${join(packageRoot(), "test", "support", "kubernetes", "kubectl.sh")} "$@"` },
    });
    for (const verb of ["docker build", "docker push"]) reader.skip(verb, "a daemon and a registry are not at hand");
    await reader.type("sh deploy/k8s/make-secrets.sh");
    await reader.type("kubectl apply");
    await cluster.stepReached(2);
    expect((await reader.type("kubectl -n coord get pods")).stdout).toMatch(/coord-coordinator-\S+ +1\/1 +Running/);
    expect((await reader.type("kubectl -n coord exec job")).stdout).toContain("training");
    await reader.type("kubectl -n coord exec -it job", {}, /step|%/i);
    expect((await reader.type("kubectl -n coord logs")).stdout).toContain(`Step ${steps} of ${steps}`);
    await cluster.succeeded("coord-worker");
    await reader.type("kubectl -n coord apply");
    await reader.type("kubectl -n coord wait");
    await reader.type("kubectl -n coord cp");
    expect(await sha256(join(directory, "output", "adapter_model.safetensors"))).toBe(expected);
    await reader.type("kubectl -n coord delete pod");

    // Another run, as the page has it further down, to be stopped.
    cluster.plane.kubectl("delete", "job", "--all", "-n", namespace);
    writeFileSync(kustomization, text.replace(/COORD_RUN_ID=.*/, "COORD_RUN_ID=demo-2"));
    const config = join(manifests, "base", "coord.yaml");
    writeFileSync(config, stringify({ ...parse(readFileSync(config, "utf8")), output: "/data/output-2" }));
    cluster.plane.kubectl("apply", "-k", join(manifests, "base"));
    await cluster.stepReached(2, "demo-2");
    expect((await reader.type("kubectl -n coord exec job")).stdout).toMatch(/stopped after step/);
    await reader.type("kubectl -n coord delete job");
    await reader.type("kubectl apply");
    await cluster.succeeded("coord-worker");
    expect(await sha256(join(cluster.volume, "output-2", "adapter_model.safetensors"))).toBe(expected);

    cluster.plane.kubectl("create", "namespace", "team");
    try {
      writeFileSync(join(directory, "rows.jsonl"), readFileSync(join(packageRoot(), "deploy", "demo", "data.jsonl")));
      const models = home.path("models");
      cpSync(join(packageRoot(), "deploy", "demo", "model"), join(models, "my-model"), { recursive: true });
      cluster.offerFiles({ namespace: "team", name: "models" }, models);
      await reader.type("npx coord launch", {
        "10.1.2.3": cluster.kubelet.hostAddress,
        "--gpus 8": "--gpus 1",
        "models:/models": `models:${models}`,
        "--model /models": `--model ${models}`,
      });
      expect(readdirSync(join(directory, "out"))).toContain("adapter_model.safetensors");
    } finally {
      cluster.plane.kubectl("delete", "namespace", "team", "--wait", "--timeout=60s");
    }
    expect(reader.left).toEqual([]);
  });
});
