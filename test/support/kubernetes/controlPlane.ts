import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import getPort from "get-port";
import { ApiClient } from "./apiClient.ts";

const programs = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"];

/** Directory of a control plane's programs (`COORD_KUBERNETES_BIN`, or the PATH's), undefined where one is missing. */
export function controlPlanePrograms(): string | undefined {
  const named = process.env["COORD_KUBERNETES_BIN"];
  const candidates = named ? [named] : (process.env["PATH"] ?? "").split(delimiter);
  return candidates.find((directory) => programs.every((program) => existsSync(join(directory, program))));
}

/** A real API server with etcd, controllers and scheduler, on loopback, without nodes. */
export class ControlPlane {
  readonly #processes: ChildProcess[] = [];
  readonly api: ApiClient;
  readonly kubeconfig: string;

  private constructor(
    private readonly options: { readonly bin: string; readonly directory: string },
    readonly port: number,
    token: string,
  ) {
    const { directory } = options;
    const caFile = join(directory, "apiserver", "apiserver.crt");
    this.kubeconfig = join(directory, "kubeconfig");
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "test", cluster: { server: `https://127.0.0.1:${port}`, "certificate-authority": caFile } }],
      users: [{ name: "admin", user: { token } }],
      contexts: [{ name: "test", context: { cluster: "test", user: "admin" } }],
      "current-context": "test",
    };
    writeFileSync(this.kubeconfig, JSON.stringify(config), { mode: 0o600 });
    const ca = () => readFileSync(caFile);
    this.api = new ApiClient({
      port,
      token,
      get ca() {
        return ca();
      },
    });
  }

  static async start(options: { readonly bin: string; readonly directory: string }): Promise<ControlPlane> {
    const { directory } = options;
    const [port, store, peers] = [await getPort(), await getPort(), await getPort()];
    const token = randomBytes(32).toString("hex");
    const plane = new ControlPlane(options, port, token);
    mkdirSync(join(directory, "apiserver"), { recursive: true });
    const tokens = join(directory, "tokens.csv");
    writeFileSync(tokens, `${token},admin,admin,system:masters\n`, { mode: 0o600 });
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const key = join(directory, "serviceAccounts.pem");
    writeFileSync(key, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
    const storeUrl = `http://127.0.0.1:${store}`;
    const peerUrl = `http://127.0.0.1:${peers}`;
    try {
      plane.#start("etcd", [
        `--data-dir=${join(directory, "etcd")}`,
        `--listen-client-urls=${storeUrl}`,
        `--advertise-client-urls=${storeUrl}`,
        `--listen-peer-urls=${peerUrl}`,
        `--initial-advertise-peer-urls=${peerUrl}`,
        `--initial-cluster=default=${peerUrl}`,
        "--unsafe-no-fsync",
      ]);
      plane.#start("kube-apiserver", [
        `--etcd-servers=${storeUrl}`,
        `--secure-port=${port}`,
        "--bind-address=127.0.0.1",
        `--cert-dir=${join(directory, "apiserver")}`,
        "--service-cluster-ip-range=10.96.0.0/24",
        "--service-account-issuer=https://kubernetes.default.svc",
        `--service-account-key-file=${key}`,
        `--service-account-signing-key-file=${key}`,
        `--token-auth-file=${tokens}`,
        "--authorization-mode=RBAC",
        // Leases of API servers would keep it busy; nothing here needs them.
        "--endpoint-reconciler-type=none",
      ]);
      await plane.#until(async () => (await plane.api.get("/api/v1/namespaces/default")).metadata.name === "default");
      plane.#start("kube-controller-manager", [
        `--kubeconfig=${plane.kubeconfig}`,
        `--service-account-private-key-file=${key}`,
        "--leader-elect=false",
        "--secure-port=0",
        "--concurrent-job-syncs=2",
      ]);
      plane.#start("kube-scheduler", [`--kubeconfig=${plane.kubeconfig}`, "--leader-elect=false", "--secure-port=0"]);
      await plane.#until(async () => {
        await plane.api.get("/api/v1/namespaces/default/serviceaccounts/default");
        return true;
      });
      return plane;
    } catch (thrown) {
      await plane.stop();
      throw thrown;
    }
  }

  /** Runs kubectl and returns what it printed. */
  kubectl(...args: readonly string[]): string {
    return execFileSync(join(this.options.bin, "kubectl"), ["--kubeconfig", this.kubeconfig, ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  async stop(): Promise<void> {
    for (const child of this.#processes.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
    }
  }

  #start(program: string, args: readonly string[]): void {
    const { bin, directory } = this.options;
    const log = openSync(join(directory, `${program}.log`), "a");
    this.#processes.push(spawn(join(bin, program), args, { stdio: ["ignore", log, log] }));
    closeSync(log);
  }

  /** Waits until the API server says so; a program that has ended ends the wait with its name. */
  async #until(done: () => Promise<boolean>): Promise<void> {
    for (;;) {
      const ended = this.#processes.find(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null);
      if (ended) throw new Error(`${ended.spawnfile} has ended; its log is in ${this.options.directory}.`);
      if (await done().catch(() => false)) return;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}
