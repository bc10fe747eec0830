import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../../shared/process/packageRoot.ts";
import type { ApiClient, ApiObject } from "./apiClient.ts";

const runContainer = join(packageRoot(), "test", "support", "kubernetes", "runContainer.sh");
const lookMs = 250;

/** A pod whose process is running or has ended. */
interface RunningPod {
  readonly pod: ApiObject;
  readonly process: ChildProcess;
  readonly log: string;
  ending: boolean;
  /** True when it was killed: `unshare` does not pass that on. */
  killed: boolean;
}

/**
 * Stands in for the kubelets of a few nodes: runs the command of every pod that the scheduler has placed as a process of
 * this host, confined as its security context says, with its volumes mounted, and reports how it ended.
 */
export class LocalKubelet {
  readonly #running = new Map<string, RunningPod>();
  /** The pods' network: this host's other programs have their ports, the pods theirs. */
  readonly #network = `coord-pods-${process.pid}`;
  /** Where pods reach this host. */
  readonly hostAddress = `10.213.${process.pid % 256}.1`;
  /** Where this host reaches all pods. */
  readonly podAddress = `10.213.${process.pid % 256}.2`;
  readonly #stop = new AbortController();
  #loop: Promise<void> = Promise.resolve();
  #failure: unknown;

  constructor(
    private readonly options: {
      readonly api: ApiClient;
      readonly directory: string;
      readonly nodes: readonly string[];
      /** What the image's entry point is here. */
      readonly entryPoint: readonly string[];
    },
  ) {}

  async start(): Promise<void> {
    const { api, nodes } = this.options;
    execFileSync("ip", ["netns", "add", this.#network]);
    // A cable between the pods and this host, where a coordinator outside the cluster runs.
    const [here, there] = [`coord${process.pid}a`, `coord${process.pid}b`];
    const commands = [
      `-n ${this.#network} link set lo up`,
      `link add ${here} type veth peer name ${there} netns ${this.#network}`,
      `address add ${this.hostAddress}/30 dev ${here}`,
      `link set ${here} up`,
      `-n ${this.#network} address add ${this.podAddress}/30 dev ${there}`,
      `-n ${this.#network} link set ${there} up`,
    ];
    for (const command of commands) execFileSync("ip", command.split(" "));
    for (const name of nodes) {
      await api.create("/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata: { name } });
      await this.#heartbeat(name);
    }
    this.#loop = this.#run();
  }

  /** The names of a job's pods that have a live process here. */
  running(job: string): string[] {
    return [...this.#running.values()]
      .filter(({ pod, process }) => pod.metadata.labels?.["job-name"] === job && isRunning(process))
      .map(({ pod }) => pod.metadata.name);
  }

  /** Kills every process of a pod at once. */
  kill(podName: string): void {
    const found = [...this.#running.values()].find(({ pod }) => pod.metadata.name === podName)!;
    found.killed = true;
    signalPod(found.process, "SIGKILL");
  }

  /** What the pod wrote. */
  log(podName: string): string {
    const path = join(this.options.directory, "logs", `${podName}.log`);
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
    for (const { process } of this.#running.values()) {
      if (!isRunning(process)) continue;
      const ended = new Promise((resolve) => process.once("exit", resolve));
      signalPod(process, "SIGKILL");
      await ended;
    }
    execFileSync("ip", ["netns", "delete", this.#network]);
    if (this.#failure) throw this.#failure;
  }

  async #run(): Promise<void> {
    let beats = 0;
    while (!this.#stop.signal.aborted) {
      try {
        if (beats++ % 40 === 39) for (const name of this.options.nodes) await this.#heartbeat(name);
        const pods = await this.options.api.list("/api/v1/pods");
        for (const pod of pods) await this.#tend(pod);
      } catch (thrown) {
        // An object that changed or went in between is looked at again; anything else shows in the test's end.
        if (!/ (404|409) /.test(String(thrown))) this.#failure = thrown;
      }
      await new Promise((resolve) => setTimeout(resolve, lookMs));
    }
  }

  async #heartbeat(name: string): Promise<void> {
    const now = new Date().toISOString();
    const condition = { type: "Ready", status: "True", reason: "Test", message: "", lastHeartbeatTime: now };
    const room = { cpu: "64", memory: "64Gi", pods: "50", "nvidia.com/gpu": "8" };
    await this.options.api.patch(`/api/v1/nodes/${name}/status`, {
      status: { capacity: room, allocatable: room, conditions: [condition] },
    });
  }

  async #tend(pod: ApiObject): Promise<void> {
    const { deletionTimestamp, name, namespace, uid } = pod.metadata;
    const path = `/api/v1/namespaces/${namespace}/pods/${name}`;
    const known = this.#running.get(uid);
    const over = known !== undefined && !isRunning(known.process);
    if (over && !["Succeeded", "Failed"].includes(pod["status"].phase)) {
      await this.options.api.patch(`${path}/status`, { status: endedStatus(known) });
    }
    if (deletionTimestamp) {
      if (!known || over) await this.options.api.remove(path).then(() => this.#running.delete(uid));
      else this.#end(known, pod.metadata.deletionGracePeriodSeconds ?? 30);
    } else if (!known && this.options.nodes.includes(pod["spec"].nodeName)) {
      const started = await this.#startPod(pod);
      this.#running.set(uid, started);
      const [{ name: container, image }] = pod["spec"].containers;
      const state = { running: { startedAt: new Date().toISOString() } };
      await this.options.api.patch(`${path}/status`, {
        status: {
          phase: "Running",
          podIP: "127.0.0.1",
          podIPs: [{ ip: "127.0.0.1" }],
          containerStatuses: [
            { name: container, image, imageID: image, ready: true, restartCount: 0, started: true, state },
          ],
          conditions: [{ type: "Ready", status: "True", lastTransitionTime: new Date().toISOString() }],
        },
      });
    }
  }

  #end(running: RunningPod, graceSeconds: number): void {
    if (running.ending) return;
    running.ending = true;
    signalPod(running.process, "SIGTERM");
    setTimeout(() => signalPod(running.process, "SIGKILL"), graceSeconds * 1000).unref();
  }

  async #startPod(pod: ApiObject): Promise<RunningPod> {
    const spec = pod["spec"];
    const [container] = spec.containers;
    const { runAsUser } = spec.securityContext;
    const home = join(this.options.directory, "pods", pod.metadata.uid);
    mkdirSync(join(home, "scratch"), { recursive: true });
    const mounts: string[] = [];
    for (const { mountPath, name, readOnly, subPath } of container.volumeMounts) {
      const volume = spec.volumes.find((candidate: { name: string }) => candidate.name === name);
      const source = await this.#volume(pod, volume, join(home, name), runAsUser);
      mounts.push(`${subPath ? join(source, subPath) : source}:${mountPath}${readOnly ? ":ro" : ""}`);
    }
    const hosts = join(home, "hosts");
    const services = await this.options.api.list(`/api/v1/namespaces/${pod.metadata.namespace}/services`);
    writeFileSync(hosts, `127.0.0.1 localhost ${services.map(({ metadata }) => metadata.name).join(" ")}\n`);
    mounts.push(`${hosts}:/etc/hosts:ro`);
    const env = await this.#environment(pod, container);
    const [entryPoint, given] = container.command
      ? [[], container.command as string[]]
      : [this.options.entryPoint, container.args as string[]];
    const args = given.map((argument) =>
      argument.replace(/\$\((\w+)\)/g, (whole, variable: string) => env[variable] ?? whole),
    );
    mkdirSync(join(this.options.directory, "logs"), { recursive: true });
    const log = join(this.options.directory, "logs", `${pod.metadata.name}.log`);
    const output = openSync(log, "a");
    const command = [join(home, "scratch"), String(runAsUser), ...mounts, "--", ...entryPoint, ...args];
    const child = spawn("ip", ["netns", "exec", this.#network, runContainer, ...command], {
      env: { PATH: process.env["PATH"], ...env },
      stdio: ["ignore", output, output],
    });
    closeSync(output);
    // For kubectl.sh, which reaches into pods.
    mkdirSync(join(this.options.directory, "pids"), { recursive: true });
    writeFileSync(join(this.options.directory, "pids", pod.metadata.name), `${child.pid}`);
    return { pod, process: child, log, ending: false, killed: false };
  }

  async #environment(pod: ApiObject, container: ApiObject["spec"]): Promise<Record<string, string>> {
    const { api } = this.options;
    const env: Record<string, string> = {};
    for (const { configMapRef } of container.envFrom ?? []) {
      const { data } = await api.get(`/api/v1/namespaces/${pod.metadata.namespace}/configmaps/${configMapRef.name}`);
      Object.assign(env, data);
    }
    for (const { name, value, valueFrom } of container.env ?? []) {
      const annotation = /metadata\.annotations\['(.+)'\]/.exec(valueFrom?.fieldRef?.fieldPath ?? "")?.[1];
      const label = /metadata\.labels\['(.+)'\]/.exec(valueFrom?.fieldRef?.fieldPath ?? "")?.[1];
      env[name] = value ?? pod.metadata.annotations?.[annotation ?? ""] ?? pod.metadata.labels?.[label ?? ""] ?? "";
    }
    return env;
  }

  /** Directory that stands for a volume, its files in place; "tmpfs" for an empty one. */
  async #volume(pod: ApiObject, volume: ApiObject["spec"], directory: string, user: number): Promise<string> {
    const { api } = this.options;
    const objects = `/api/v1/namespaces/${pod.metadata.namespace}`;
    if (volume.emptyDir) return "tmpfs";
    if (volume.persistentVolumeClaim) {
      const claim = await api.get(`${objects}/persistentvolumeclaims/${volume.persistentVolumeClaim.claimName}`);
      const { spec } = await api.get(`/api/v1/persistentvolumes/${claim["spec"].volumeName}`);
      mkdirSync(spec.hostPath.path, { recursive: true });
      chownSync(spec.hostPath.path, user, user);
      return spec.hostPath.path;
    }
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    const { configMap, secret } = volume;
    const path = configMap ? `configmaps/${configMap.name}` : `secrets/${secret.secretName}`;
    const { data } = await api.get(`${objects}/${path}`);
    for (const [name, content] of Object.entries(data as Record<string, string>)) {
      const file = join(directory, name);
      writeFileSync(file, configMap ? content : Buffer.from(content, "base64"));
      chmodSync(file, secret?.defaultMode ?? 0o644);
      chownSync(file, 0, user);
    }
    return directory;
  }
}

/** Signals the first process of a pod's namespace, the child of `unshare`, whose end is the end of all others there. */
function signalPod(unshare: ChildProcess, signal: NodeJS.Signals): void {
  if (!isRunning(unshare)) return;
  try {
    const [inside] = readFileSync(`/proc/${unshare.pid}/task/${unshare.pid}/children`, "utf8").split(" ");
    if (inside) process.kill(Number(inside), signal);
  } catch (thrown) {
    // It has ended in between.
    if (!["ENOENT", "ESRCH"].includes((thrown as NodeJS.ErrnoException).code ?? "")) throw thrown;
  }
}

function isRunning({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null;
}

function endedStatus({ killed, pod, process }: RunningPod): object {
  const exitCode = killed ? 137 : (process.exitCode ?? 137);
  const now = new Date().toISOString();
  const [{ name, image }] = pod["spec"].containers;
  const state = {
    terminated: { exitCode, reason: exitCode === 0 ? "Completed" : "Error", startedAt: now, finishedAt: now },
  };
  return {
    phase: exitCode === 0 ? "Succeeded" : "Failed",
    containerStatuses: [{ name, image, imageID: image, ready: false, restartCount: 0, started: false, state }],
    conditions: [{ type: "Ready", status: "False", lastTransitionTime: now }],
  };
}
