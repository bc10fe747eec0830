import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { packageRoot } from "../../../shared/process/packageRoot.ts";
import type { WorkerJob } from "./agentObjects.ts";

/** Reads the worker Job of deploy/k8s/base, so that people and the launcher use the same pods. */
export async function readWorkerJob(): Promise<WorkerJob> {
  const path = join(packageRoot(), "deploy", "k8s", "base", "worker.yaml");
  // Kubernetes reads YAML 1.1.
  return parse(await readFile(path, "utf8"), { version: "1.1" }) as WorkerJob;
}
