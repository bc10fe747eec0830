import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { parse, parseAllDocuments, stringify } from "yaml";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { CoordHome, sha256 } from "../support/coord.ts";
import { ControlPlane, controlPlanePrograms } from "../support/kubernetes/controlPlane.ts";
import { LocalKubelet } from "../support/kubernetes/localKubelet.ts";
import { baseDirectory } from "../support/manifests.ts";

const bin = controlPlanePrograms();
const isRoot = process.getuid?.() === 0;
const missing =
  bin === undefined
    ? "needs a control plane: test/support/kubernetes/buildControlPlane.sh DIR, then COORD_KUBERNETES_BIN=DIR"
    : "needs root, for namespaces and mounts";

const steps = 24;
const settings = { max_steps: steps, save_steps: 6, logging_steps: 1, threads_per_worker: 1, device: "cpu" };
const flags = Object.entries(settings).flatMap(([key, value]) => [`--${key.replaceAll("_", "-")}`, String(value)]);
const namespace = "coord";
const jobsPath = `/apis/batch/v1/namespaces/${namespace}/jobs`;

// The scheduler, the controllers and the API server are Kubernetes' own; only the kubelet is ours.
describe.skipIf(bin === undefined || !isRoot)(`the manifests on a real control plane (${missing})`, () => {
  let home: CoordHome;
  let plane: ControlPlane;
  let kubelet: LocalKubelet;
  let expected: string;
  let volume = "";
  let count = 0;

  beforeAll(async () => {
    home = await CoordHome.create();
    const output = home.path("local");
    const local = await home.coord(["launch", "--nodes", "2", "--gpus", "1", "--output", output, ...flags]);
    expect(local.exitCode, local.stderr).toBe(0);
    expected = await sha256(join(output, "adapter_model.safetensors"));
    mkdirSync(home.path("plane"), { recursive: true });
    plane = await ControlPlane.start({ bin: bin!, directory: home.path("plane") });
    const command = join(packageRoot(), "dist", "coordinator", "cli", "main.js");
    kubelet = new LocalKubelet({
      api: plane.api,
      directory: home.path("nodes"),
      nodes: ["node-a", "node-b"],
      entryPoint: [process.execPath, command],
    });
    await kubelet.start();
  });

  afterEach(async () => {
    plane.kubectl("delete", "namespace", namespace, "--wait", "--timeout=60s");
    plane.kubectl("delete", "persistentvolume", "--all", "--wait", "--timeout=60s");
  });

  afterAll(async () => {
    try {
      await kubelet?.stop();
    } finally {
      await plane?.stop();
      await home?.remove();
    }
  });

  /** A copy of the manifests with secrets and a shorter run. */
  function prepare(): string {
    const directory = home.path(`k8s-${++count}`);
    cpSync(join(baseDirectory, ".."), directory, { recursive: true });
    execFileSync("sh", [join(directory, "make-secrets.sh")], { stdio: "pipe" });
    const config = join(directory, "base", "coord.yaml");
    writeFileSync(config, stringify({ ...parse(readFileSync(config, "utf8")), ...settings }));
    return directory;
  }

  /** Applies the base; unknown fields are errors. */
  function apply(): void {
    const directory = prepare();
    volume = home.path(`volume-${count}`);
    const disk = {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: `disk-${count}` },
      spec: {
        capacity: { storage: "20Gi" },
        accessModes: ["ReadWriteOnce"],
        hostPath: { path: volume },
        claimRef: { namespace, name: "coord-data" },
      },
    };
    const file = home.path(`disk-${count}.json`);
    writeFileSync(file, JSON.stringify(disk));
    plane.kubectl("apply", "--validate=strict", "-f", file);
    plane.kubectl("apply", "--validate=strict", "-k", join(directory, "base"));
  }

  async function until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + 240_000;
    while (!(await done())) {
      if (Date.now() > deadline) {
        const logs = readdirSync(home.path("nodes", "logs")).map((name) => {
          const text = readFileSync(home.path("nodes", "logs", name), "utf8");
          return `${name}:\n${text.slice(-1500)}`;
        });
        throw new Error(
          `Waited in vain: ${what}\n${plane.kubectl("get", "jobs,pods", "-n", namespace)}\n${logs.join("\n")}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }

  const succeeded = (job: string) =>
    until(`${job} completes`, async () => (await plane.api.get(`${jobsPath}/${job}`))["status"].completionTime);

  async function expectSameAdapter(): Promise<void> {
    await succeeded("coord-coordinator");
    await succeeded("coord-worker");
    expect(await sha256(join(volume, "output", "adapter_model.safetensors"))).toBe(expected);
  }

  const stepReached = (step: number) =>
    until(`step ${step}`, () => {
      const runs = join(volume, "home", "runs");
      const metrics = (existsSync(runs) ? readdirSync(runs) : []).map((run) => join(runs, run, "metrics.jsonl"));
      return metrics.some((path) => existsSync(path) && readFileSync(path, "utf8").includes(`"step":${step},`));
    });

  it("have no field that Kubernetes, JobSet and Kubeflow Trainer do not know, in any overlay", () => {
    plane.kubectl("apply", "-f", join(bin!, "definitions"), "--server-side");
    plane.kubectl("create", "namespace", namespace);
    const directory = prepare();
    for (const overlay of ["../base", ...readdirSync(join(directory, "overlays"))]) {
      const built = parseAllDocuments(plane.kubectl("kustomize", join(directory, "overlays", overlay)));
      // Kueue's definitions are not at hand; its queue is one name.
      const objects = built.map((document) => document.toJS()).filter(({ kind }) => kind !== "LocalQueue");
      expect(objects.length).toBeGreaterThan(10);
      const file = home.path("built.json");
      writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }));
      const applied = plane.kubectl("apply", "--validate=strict", "--dry-run=server", "-f", file);
      expect(applied.trim().split("\n"), overlay).toHaveLength(objects.length);
    }
    const wrong = readFileSync(home.path("built.json"), "utf8").replaceAll('"completionMode"', '"completionsMode"');
    writeFileSync(home.path("wrong.json"), wrong);
    const refuse = () => plane.kubectl("apply", "--validate=strict", "--dry-run=server", "-f", home.path("wrong.json"));
    expect(refuse).toThrow(/unknown field .*completionsMode/);
  });

  it("train to the adapter that a run on one host ends with", async () => {
    apply();
    await expectSameAdapter();
  });

  describe("coord launch --launcher k8s", () => {
    const onCluster = () => ({ KUBECONFIG: plane.kubeconfig, PATH: `${bin}:${process.env["PATH"]}` });
    const launcher = () => [
      ...["--launcher", "k8s", "--kube-namespace", namespace, "--kube-image", "coord:test"],
      ...["--listen", "0.0.0.0", "--advertise", kubelet.hostAddress, "--nodes", "2"],
    ];

    it("trains to the same adapter on pods, also when one is deleted, and leaves nothing in the cluster", async () => {
      plane.kubectl("create", "namespace", namespace);
      const output = home.path("launched");
      const args = ["launch", "--detach", ...launcher(), "--output", output, ...flags];
      const launched = await home.coord(args, onCluster());
      expect(launched.exitCode, launched.stderr).toBe(0);
      const runId = launched.stdout.trim();
      await until("step 4", async () => (await home.metrics(runId)).some((line) => line["step"] === 4));
      const [pod] = kubelet.running(`coord-${runId}`);
      plane.kubectl("delete", "pod", pod!, "-n", namespace, "--wait=false");
      await until("the end", async () => (await home.json<{ state: string }>(["status", runId])).state === "finished");
      expect(await sha256(join(output, "adapter_model.safetensors"))).toBe(expected);
      await until("an empty namespace", () => {
        const left = plane.kubectl("get", "job,secret,pod", "-n", namespace, "-o", "name");
        return left.trim() === "";
      });
    });

    it("refuses to start where the cluster does not answer or nothing may be created", async () => {
      const nowhere = { ...onCluster(), KUBECONFIG: home.path("none") };
      const unanswered = await home.coord(["launch", ...launcher(), ...flags], nowhere);
      expect(unanswered).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("The cluster cannot be asked") });
      const noKubectl = await home.coord(["launch", ...launcher(), ...flags], { PATH: "/nonexistent" });
      expect(noKubectl).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("kubectl is not on the PATH") });
      plane.kubectl("create", "namespace", namespace);
    });

    it("is cleared away by kill-stale when its coordinator was murdered", async () => {
      plane.kubectl("create", "namespace", namespace);
      const args = ["launch", "--detach", ...launcher(), "--output", home.path("murdered"), ...flags];
      const { stdout } = await home.coord([...args, "--max-steps", "2000"], onCluster());
      const runId = stdout.trim();
      await until("step 2", async () => (await home.metrics(runId)).some((line) => line["step"] === 2));
      const record = readFileSync(join(home.home, "runs", runId, "coordinator.json"), "utf8");
      process.kill((JSON.parse(record) as { process: { pid: number } }).process.pid, "SIGKILL");
      const objects = () => plane.kubectl("get", "job,secret", "-n", namespace, "-o", "name");
      expect(objects()).toContain(`job.batch/coord-${runId}`);
      const cleared = await home.coord(["kill-stale", "--run", runId], onCluster());
      expect(cleared).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(`job.batch/coord-${runId}`) });
      expect(objects()).toBe("");
      await until("no pod", () => kubelet.running(`coord-${runId}`).length === 0);
    });
  });

  it("train to the same adapter when a worker's pod is deleted on the way", async () => {
    apply();
    await stepReached(4);
    const [pod] = kubelet.running("coord-worker");
    plane.kubectl("delete", "pod", pod!, "-n", namespace, "--wait=false");
    await expectSameAdapter();
  });

  it("train to the same adapter when the coordinator's pod is killed on the way", async () => {
    apply();
    await stepReached(8);
    const [pod] = kubelet.running("coord-coordinator");
    kubelet.kill(pod!);
    await expectSameAdapter();
  });
});
