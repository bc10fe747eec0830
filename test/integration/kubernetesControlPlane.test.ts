import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { parse, parseAllDocuments, stringify } from "yaml";
import { runSelector } from "../../coordinator/launch/kubernetes/agentObjects.ts";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { CoordHome, sha256 } from "../support/coord.ts";
import { DocReader } from "../support/docCommands.ts";
import { environment, processesOf } from "../support/killEverything.ts";
import { ControlPlane, controlPlanePrograms } from "../support/kubernetes/controlPlane.ts";
import { LocalKubelet } from "../support/kubernetes/localKubelet.ts";
import { launcherContract } from "../support/launcherContract.ts";
import { baseDirectory } from "../support/manifests.ts";
import { slowedDown } from "../support/smallRun.ts";

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

  /** A copy of the manifests with a shorter run, and with secrets unless a reader of the page makes them. */
  function prepare(directory = home.path(`k8s-${++count}`), withSecrets = true): string {
    cpSync(join(baseDirectory, ".."), directory, { recursive: true });
    if (withSecrets) execFileSync("sh", [join(directory, "make-secrets.sh")], { stdio: "pipe" });
    const config = join(directory, "base", "coord.yaml");
    writeFileSync(config, stringify({ ...parse(readFileSync(config, "utf8")), ...settings }));
    return directory;
  }

  /** Applies the base; unknown fields are errors. */
  function apply(): void {
    const directory = prepare();
    offerVolume();
    plane.kubectl("apply", "--validate=strict", "-k", join(directory, "base"));
  }

  /** What a cluster's storage class does: a disk for the claim of the base. */
  function offerVolume(): void {
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

  const onCluster = () => ({ KUBECONFIG: plane.kubeconfig, PATH: `${bin}:${process.env["PATH"]}` });
  const launcher = () => [
    ...["--launcher", "k8s", "--kube-namespace", namespace, "--kube-image", "coord:test"],
    ...["--listen", "0.0.0.0", "--advertise", kubelet.hostAddress, "--nodes", "2", "--gpus", "1"],
  ];

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

  describe("launched from outside", () => {
    beforeEach(() => {
      plane.kubectl("create", "namespace", namespace);
    });

    launcherContract("Kubernetes", () => ({
      home,
      flags: launcher(),
      env: onCluster(),
      loseNode: (runId) => kubelet.kill(kubelet.running(`coord-${runId}`)[0]!),
      launcherOf: (runId) =>
        processesOf(runId).filter((pid) => !environment(pid).includes("COORD_HOME=/var/lib/coord")),
      thingsOf(runId) {
        const found = plane.kubectl("get", "job,secret,pod", "-n", namespace, "-l", runSelector(runId), "-o", "name");
        return found.split("\n").filter((line) => line !== "");
      },
    }));

    it("refuses to start where the cluster does not answer or nothing may be created", async () => {
      const nowhere = { ...onCluster(), KUBECONFIG: home.path("none") };
      const unanswered = await home.coord(["launch", ...launcher(), ...flags], nowhere);
      expect(unanswered).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("The cluster cannot be asked") });
      const noKubectl = await home.coord(["launch", ...launcher(), ...flags], { PATH: "/nonexistent" });
      expect(noKubectl).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("kubectl is not on the PATH") });
    });
  });

  it("train to the same adapter when a worker's pod is deleted, and later the coordinator's killed", async () => {
    apply();
    await stepReached(4);
    plane.kubectl("delete", "pod", kubelet.running("coord-worker")[0]!, "-n", namespace, "--wait=false");
    await stepReached(8);
    kubelet.kill(kubelet.running("coord-coordinator")[0]!);
    await expectSameAdapter();
  });

  it("do what their page says, command by command", async () => {
    const directory = home.path("reader");
    const manifests = prepare(join(directory, "deploy", "k8s"), false);
    rmSync(join(manifests, "base", "secrets"), { recursive: true, force: true });
    const kustomization = join(manifests, "base", "kustomization.yaml");
    const slow = Object.entries(slowedDown(250)).map(([name, value]) => `      - ${name}=${value}\n`);
    // Slow enough to be looked at.
    const text = readFileSync(kustomization, "utf8").replace(/( +- COORD_RUN_ID=.*\n)/, `$1${slow.join("")}`);
    writeFileSync(kustomization, text);
    offerVolume();
    const program = join(packageRoot(), "dist", "coordinator", "cli", "main.js");
    const reader = new DocReader("k8s/README.md", {
      home,
      directory,
      env: {
        ...onCluster(),
        KUBECTL: join(bin!, "kubectl"),
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
    await stepReached(2);
    expect((await reader.type("kubectl -n coord get pods")).stdout).toMatch(/coord-coordinator-\S+ +1\/1 +Running/);
    expect((await reader.type("kubectl -n coord exec job")).stdout).toContain("training");
    await reader.type("kubectl -n coord exec -it job", {}, /step|%/i);
    expect((await reader.type("kubectl -n coord logs")).stdout).toContain(`Step ${steps} of ${steps}`);
    await succeeded("coord-worker");
    await reader.type("kubectl -n coord apply");
    await reader.type("kubectl -n coord wait");
    await reader.type("kubectl -n coord cp");
    expect(await sha256(join(directory, "output", "adapter_model.safetensors"))).toBe(expected);
    await reader.type("kubectl -n coord delete pod");

    // Another run, as the page has it further down, to be stopped.
    plane.kubectl("delete", "job", "--all", "-n", namespace);
    writeFileSync(kustomization, text.replace(/COORD_RUN_ID=.*/, "COORD_RUN_ID=demo-2"));
    const config = join(manifests, "base", "coord.yaml");
    writeFileSync(config, stringify({ ...parse(readFileSync(config, "utf8")), output: "/data/output-2" }));
    plane.kubectl("apply", "-k", join(manifests, "base"));
    await until("step 2 of the second run", () =>
      /"step":2,/.test(readText(join(volume, "home", "runs", "demo-2", "metrics.jsonl"))),
    );
    expect((await reader.type("kubectl -n coord exec job")).stdout).toMatch(/stopped after step/);
    await reader.type("kubectl -n coord delete job");
    await reader.type("kubectl apply");
    await succeeded("coord-worker");
    expect(await sha256(join(volume, "output-2", "adapter_model.safetensors"))).toBe(expected);

    plane.kubectl("create", "namespace", "team");
    try {
      writeFileSync(join(directory, "rows.jsonl"), readFileSync(join(packageRoot(), "deploy", "demo", "data.jsonl")));
      const models = home.path("models");
      cpSync(join(packageRoot(), "deploy", "demo", "model"), join(models, "my-model"), { recursive: true });
      offerClaim("models", models);
      await reader.type("npx coord launch", {
        "10.1.2.3": kubelet.hostAddress,
        "--gpus 8": "--gpus 1",
        "models:/models": `models:${models}`,
        "--model /models": `--model ${models}`,
      });
      expect(readdirSync(join(directory, "out"))).toContain("adapter_model.safetensors");
    } finally {
      plane.kubectl("delete", "namespace", "team", "--wait", "--timeout=60s");
    }
    expect(reader.left).toEqual([]);
  });

  /** A volume of the user's, with its claim, in the namespace of the page's last command. */
  function offerClaim(name: string, path: string): void {
    const size = { storage: "1Gi" };
    const accessModes = ["ReadOnlyMany"];
    const claimRef = { namespace: "team", name };
    const items = [
      {
        apiVersion: "v1",
        kind: "PersistentVolume",
        metadata: { name: `disk-${name}` },
        spec: { capacity: size, accessModes, hostPath: { path }, claimRef },
      },
      {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        metadata: { name, namespace: "team" },
        spec: { accessModes, resources: { requests: size } },
      },
    ];
    writeFileSync(home.path("claim.json"), JSON.stringify({ apiVersion: "v1", kind: "List", items }));
    plane.kubectl("apply", "--validate=strict", "-f", home.path("claim.json"));
  }
});

function readText(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}
