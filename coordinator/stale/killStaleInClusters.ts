import { writeFile } from "node:fs/promises";
import { runSelector } from "../launch/kubernetes/agentObjects.ts";
import { kubectl, kubectlProblem } from "../launch/kubernetes/kubectl.ts";
import { removeObjects } from "../launch/kubernetes/kubernetesLauncher.ts";
import { runIds } from "../runs/findRun.ts";
import { RunDirectory } from "../runs/runDirectory.ts";
import { runLiveness } from "../runs/runLiveness.ts";

/** What a dead run still had in a Kubernetes cluster. */
export interface ClusterStaleReport {
  readonly runId: string;
  /** Names such as "job.batch/coord-…". */
  readonly objects: readonly string[];
  readonly problem?: string;
}

/** Deletes what dead runs of this COORD_HOME have left in the clusters that they used. A run is dealt with once. */
export async function killStaleInClusters(options: {
  readonly home: string;
  readonly dryRun: boolean;
  /** Look at one run only. */
  readonly runId?: string | undefined;
  readonly signal: AbortSignal;
}): Promise<ClusterStaleReport[]> {
  const { dryRun, home, runId, signal } = options;
  const reports: ClusterStaleReport[] = [];
  for (const id of runId === undefined ? await runIds(home) : [runId]) {
    const directory = new RunDirectory(home, id);
    const config = (await directory.readRun().catch(() => undefined))?.config;
    if (config?.launcher !== "k8s" || (await directory.hasClearedHosts())) continue;
    if ((await runLiveness(directory)) !== "dead") continue;
    const found = await kubectl(config, ["get", "job,secret", "-l", runSelector(id), "-o", "name"], { signal });
    const objects = found.stdout.split("\n").filter((line) => line !== "");
    let problem = found.exitCode === 0 ? undefined : kubectlProblem(found);
    if (!dryRun && problem === undefined && objects.length > 0) problem = await removeObjects(config, id);
    if (!dryRun && problem === undefined) await writeFile(directory.paths.hostsCleared, "");
    if (problem !== undefined) reports.push({ runId: id, objects, problem });
    else if (objects.length > 0) reports.push({ runId: id, objects });
  }
  return reports;
}
