import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { absoluteLocation } from "../../shared/checkpoint/location.ts";
import { isDemo, withDemoSettings } from "../../shared/config/demo.ts";
import { gpusOfNodes, mostWorkersOf, worldSizeOf } from "../../shared/config/hosts.ts";
import type { ConfigKey, RunConfig } from "../../shared/config/schema.ts";
import { isLoopback } from "../../shared/config/tlsMode.ts";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { threadsPerWorker } from "./workerEnvironment.ts";

/** Processors that a Slurm job asks for per worker, unless --threads-per-worker is given. */
const slurmThreads = 4;

/** Fills in what a run must keep for its whole life: absolute paths, the demo's files, slots and threads. */
export function pinConfig(given: RunConfig, sources: Readonly<Partial<Record<ConfigKey, string>>>): RunConfig {
  const config = isDemo(given) ? withDemoSettings(given, sources) : given;
  const absolute = (path: string | undefined) => (path === undefined ? undefined : resolve(path));
  const demo = join(packageRoot(), "deploy", "demo");
  const workers = worldSizeOf(config);
  const paths = {
    model: absolute(config.model) ?? join(demo, "model"),
    data: config.data?.map((path) => resolve(path)) ?? [join(demo, "data.jsonl")],
    evalData: config.evalData?.map((path) => resolve(path)),
    augmentSynonyms: absolute(config.augmentSynonyms),
    initAdapter: absolute(config.initAdapter),
    tlsCert: absolute(config.tlsCert),
    tlsKey: absolute(config.tlsKey),
    tlsCa: absolute(config.tlsCa),
  };
  const known = Object.fromEntries(Object.entries(paths).filter(([, path]) => path !== undefined));
  const onThisHost = config.launcher === "local" ? workers : Math.max(...gpusOfNodes(config));
  return {
    ...config,
    ...known,
    output: absoluteLocation(config.output),
    slots: config.slots ?? mostWorkersOf(config),
    // The processors of a Slurm job are those that it asks for.
    threadsPerWorker:
      config.threadsPerWorker ||
      (config.launcher === "slurm" ? slurmThreads : threadsPerWorker(availableParallelism(), onThisHost)),
    // The node that the coordinator will run on is not known yet.
    ...(config.launcher === "slurm" && isLoopback(config.listen) ? { listen: "0.0.0.0" } : {}),
  };
}
