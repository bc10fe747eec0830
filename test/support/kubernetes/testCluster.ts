import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { packageRoot } from "../../../shared/process/packageRoot.ts";
import type { CoordHome } from "../coord.ts";
import { baseDirectory } from "../manifests.ts";
import { ControlPlane, controlPlanePrograms } from "./controlPlane.ts";
import { LocalKubelet } from "./localKubelet.ts";

export const namespace = "coord";
const jobsPath = `/apis/batch/v1/namespaces/${namespace}/jobs`;

/** Why there can be no cluster here; undefined where there can. */
export function whyNoCluster(): string | undefined {
  if (controlPlanePrograms() === undefined) {
    return "needs a control plane: test/support/kubernetes/buildControlPlane.sh DIR, then COORD_KUBERNETES_BIN=DIR";
  }
  return process.getuid?.() === 0 ? undefined : "needs root, for namespaces and mounts";
}

/** A real control plane with a stand-in for the kubelets of two nodes, and the runs that are applied to it. */
export class TestCluster {
  /** The volume of the run that was applied last. */
  volume = "";
  #count = 0;

  private constructor(
    private readonly home: CoordHome,
    readonly bin: string,
    readonly plane: ControlPlane,
    readonly kubelet: LocalKubelet,
  ) {}

  static async start(home: CoordHome): Promise<TestCluster> {
    const bin = controlPlanePrograms()!;
    mkdirSync(home.path("plane"), { recursive: true });
    const plane = await ControlPlane.start({ bin, directory: home.path("plane") });
    const kubelet = new LocalKubelet({
      api: plane.api,
      directory: home.path("nodes"),
      nodes: ["node-a", "node-b"],
      entryPoint: [process.execPath, join(packageRoot(), "dist", "coordinator", "cli", "main.js")],
    });
    try {
      await kubelet.start();
    } catch (thrown) {
      await plane.stop();
      throw thrown;
    }
    return new TestCluster(home, bin, plane, kubelet);
  }

  async stop(): Promise<void> {
    try {
      await this.kubelet.stop();
    } finally {
      await this.plane.stop();
    }
  }

  /** Removes everything of a test. */
  clear(): void {
    this.plane.kubectl("delete", "namespace", namespace, "--wait", "--timeout=60s");
    this.plane.kubectl("delete", "persistentvolume", "--all", "--wait", "--timeout=60s");
  }

  /** What coord and kubectl need in their environment. */
  get env(): Record<string, string> {
    return { KUBECONFIG: this.plane.kubeconfig, PATH: `${this.bin}:${process.env["PATH"]}` };
  }

  /** Flags that have agents started here, in pods. */
  get flags(): string[] {
    const where = ["--launcher", "k8s", "--kube-namespace", namespace, "--kube-image", "coord:test"];
    return [...where, "--listen", "0.0.0.0", "--advertise", this.kubelet.hostAddress];
  }

  /** Makes a copy of deploy/k8s with other settings; without secrets for those who make them themselves. */
  copyManifests(settings: object, to?: { readonly directory: string }): string {
    const directory = to?.directory ?? this.home.path(`k8s-${++this.#count}`);
    cpSync(join(baseDirectory, ".."), directory, { recursive: true });
    if (!to) execFileSync("sh", [join(directory, "make-secrets.sh")], { stdio: "pipe" });
    const config = join(directory, "base", "coord.yaml");
    writeFileSync(config, stringify({ ...parse(readFileSync(config, "utf8")), ...settings }));
    return directory;
  }

  /** Applies the base, or an overlay; unknown fields are errors. Returns the copy of deploy/k8s. */
  apply(settings: object, what = "base"): string {
    const directory = this.copyManifests(settings);
    this.offerVolume();
    this.plane.kubectl("apply", "--validate=strict", "-k", join(directory, what));
    return directory;
  }

  /** What a cluster's storage class does: a disk for the claim of the base. */
  offerVolume(): void {
    this.volume = this.home.path(`volume-${++this.#count}`);
    this.applyObjects(volumeFor({ namespace, name: "coord-data" }, this.volume));
  }

  /** A disk with files on it and a claim for it. */
  offerFiles(claim: { readonly namespace: string; readonly name: string }, path: string): void {
    const spec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "20Gi" } }, storageClassName: "" };
    const claimed = { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata: claim, spec };
    this.applyObjects(volumeFor(claim, path), claimed);
  }

  applyObjects(...items: readonly object[]): void {
    const file = this.home.path("objects.json");
    writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
    this.plane.kubectl("apply", "--validate=strict", "-f", file);
  }

  succeeded(job: string): Promise<void> {
    const path = `${jobsPath}/${job}`;
    return this.until(`${job} completes`, async () => (await this.plane.api.get(path))["status"].completionTime);
  }

  /** Waits until a run on the volume has come to a step. */
  stepReached(step: number, run = ""): Promise<void> {
    return this.until(`step ${step} ${run}`, () => {
      const runs = join(this.volume, "home", "runs");
      const names = (existsSync(runs) ? readdirSync(runs) : []).filter((name) => name.includes(run));
      const metrics = names.map((name) => join(runs, name, "metrics.jsonl"));
      return metrics.some((path) => existsSync(path) && readFileSync(path, "utf8").includes(`"step":${step},`));
    });
  }

  async until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + 240_000;
    while (!(await done())) {
      if (Date.now() > deadline) {
        const logs = readdirSync(this.home.path("nodes", "logs")).map((name) => {
          const text = readFileSync(this.home.path("nodes", "logs", name), "utf8");
          return `${name}:\n${text.slice(-1500)}`;
        });
        const objects = this.plane.kubectl("get", "jobs,pods", "-n", namespace);
        throw new Error(`Waited in vain: ${what}\n${objects}\n${logs.join("\n")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }
}

function volumeFor(claimRef: { readonly namespace: string; readonly name: string }, path: string): object {
  const spec = { capacity: { storage: "20Gi" }, accessModes: ["ReadWriteOnce"], hostPath: { path }, claimRef };
  return { apiVersion: "v1", kind: "PersistentVolume", metadata: { name: `disk-${claimRef.name}` }, spec };
}
