import { execa } from "execa";
import type { RunConfig } from "../../../shared/config/schema.ts";
import { CoordError } from "../../../shared/errors.ts";

/** Where kubectl works. */
export type Cluster = Pick<RunConfig, "kubeContext" | "kubeNamespace">;

/** How a call of kubectl ended. */
export interface KubectlResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Milliseconds that the API server has to answer one call. */
const timeoutMs = 30_000;

/** Runs the system's kubectl, with the user's own kubeconfig, plug-ins and proxies. Throws only where it cannot be started. */
export async function kubectl(
  cluster: Cluster,
  args: readonly string[],
  options: { readonly input?: string; readonly signal?: AbortSignal } = {},
): Promise<KubectlResult> {
  const where = [
    ...(cluster.kubeContext === undefined ? [] : ["--context", cluster.kubeContext]),
    ...(cluster.kubeNamespace === undefined ? [] : ["--namespace", cluster.kubeNamespace]),
  ];
  const result = await execa("kubectl", [...where, ...args], {
    reject: false,
    timeout: timeoutMs,
    ...(options.input === undefined ? { stdin: "ignore" as const } : { input: options.input }),
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
  });
  if (result.code === "ENOENT") {
    throw new CoordError(
      "PREFLIGHT_REFUSED",
      "kubectl is not on the PATH; --launcher k8s needs it to reach the cluster.",
    );
  }
  const stderr = result.timedOut ? `no answer within ${timeoutMs / 1000} s` : result.stderr.trim();
  return { exitCode: result.exitCode ?? -1, stdout: result.stdout, stderr };
}

/** What kubectl said went wrong, in one line. */
export function kubectlProblem({ exitCode, stderr }: KubectlResult): string {
  return (
    stderr
      .split("\n")
      .filter((line) => line.trim() !== "")
      .at(-1) ?? `kubectl ended with exit code ${exitCode}`
  );
}
