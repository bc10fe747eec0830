import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { type EngineCheck, engineCheckSchema } from "../../shared/doctor/engineCheck.ts";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { readNulList } from "../../shared/process/procfs.ts";
import { hostMemory } from "../plan/hostMemory.ts";
import type { Finding } from "./finding.ts";
import { type GpuFacts, gpuQuery, parseGpuFacts, processQuery } from "./gpuFacts.ts";
import * as judge from "./judge.ts";
import { bindLoopback, existingParent, freeBytes, timeSync } from "./probes.ts";

/** A process boundary, not an import: engines belong to the worker's side. */
const engineEntry = fileURLToPath(new URL("../../worker/engineCheckMain.js", import.meta.url));
const engineTimeoutMs = 60_000;
const smiTimeoutMs = 15_000;

/** Libraries without which nothing works. */
const libraries = ["onnxruntime-node", "@grpc/grpc-js", "@bufbuild/protobuf", "@huggingface/tokenizers"];

/** Looks at everything that training on this host depends on. `output` need not exist yet. */
export async function examineHost(output: string): Promise<Finding[]> {
  const manifest = await readManifest(join(packageRoot(), "package.json"));
  const directory = await existingParent(output);
  const [engine, gpus, disk, sync, shared, port, installed] = await Promise.all([
    checkEngine(),
    askGpus(),
    freeBytes(directory),
    timeSync(directory),
    freeBytes("/dev/shm"),
    bindLoopback(),
    Promise.all(libraries.map(installedVersion)),
  ]);
  const wanted = manifest.engines?.["node"]?.replace(/^\D+/, "") ?? "20.19.0";
  return [
    judge.judgeNode(process.version, wanted),
    ...libraries.map((name, at) => judge.judgeLibrary(name, manifest.dependencies?.[name] ?? "", installed[at])),
    judge.judgeEngine(engine),
    ...(gpus.length > 0
      ? gpus.map(judge.judgeGpu)
      : [{ name: "GPU", level: "ok", value: "no NVIDIA GPU; training runs on the CPU" } as const]),
    judge.judgeProcessors(availableParallelism(), processorQuota()),
    judge.judgeMemory(hostMemory()),
    judge.judgeSharedMemory(shared),
    ...(disk === undefined ? [] : [judge.judgeDisk(directory, disk)]),
    judge.judgeSync(directory, sync),
    judge.judgeOpenFiles(openFileLimit()),
    judge.judgePort(port),
  ];
}

async function checkEngine(): Promise<EngineCheck> {
  const result = await execa(process.execPath, [engineEntry], { reject: false, timeout: engineTimeoutMs });
  try {
    return engineCheckSchema.parse(JSON.parse(result.stdout));
  } catch {
    const how = result.timedOut
      ? `did not answer within ${engineTimeoutMs / 1000} s`
      : `ended with ${result.signal ?? `exit code ${result.exitCode}`}`;
    const lastLine = result.stderr.trim().split("\n").at(-1);
    return { ok: false, reason: `it ${how}${lastLine ? `: ${lastLine}` : ""}` };
  }
}

async function askGpus(): Promise<GpuFacts[]> {
  const ask = async (query: string) => {
    const result = await execa("nvidia-smi", [query, "--format=csv,noheader,nounits"], {
      reject: false,
      timeout: smiTimeoutMs,
      forceKillAfterDelay: 500,
    });
    return result.failed ? "" : result.stdout;
  };
  const [gpus, processes] = await Promise.all([
    ask(`--query-gpu=${gpuQuery}`),
    ask(`--query-compute-apps=${processQuery}`),
  ]);
  return parseGpuFacts(gpus, processes, runOfProcess);
}

function runOfProcess(pid: number): string | undefined {
  const name = "COORD_RUN_ID=";
  return readNulList(`/proc/${pid}/environ`)
    ?.find((entry) => entry.startsWith(name))
    ?.slice(name.length);
}

async function installedVersion(name: string): Promise<string | undefined> {
  return (await readManifest(join(packageRoot(), "node_modules", name, "package.json"))).version;
}

interface PackageManifest {
  readonly version?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly engines?: Readonly<Record<string, string>>;
}

async function readManifest(path: string): Promise<PackageManifest> {
  return JSON.parse(await readFile(path, "utf8").catch(() => "{}")) as PackageManifest;
}

/** Processors that the control group grants, of either version; undefined for no limit. */
function processorQuota(): number | undefined {
  const [quota, period] = (readText("/sys/fs/cgroup/cpu.max") ?? "").trim().split(" ").map(Number);
  if (quota && period) return quota / period;
  const quotaV1 = Number(readText("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") ?? -1);
  const periodV1 = Number(readText("/sys/fs/cgroup/cpu/cpu.cfs_period_us") ?? 0);
  return quotaV1 > 0 && periodV1 > 0 ? quotaV1 / periodV1 : undefined;
}

/** The soft limit of this process; its children inherit it. */
function openFileLimit(): number {
  const soft = /^Max open files\s+(\S+)/m.exec(readText("/proc/self/limits") ?? "")?.[1];
  return soft === undefined || soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
