import type { EngineCheck } from "../../shared/doctor/engineCheck.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";
import { type GpuFacts, gibibytes } from "./gpuFacts.ts";

const mebi = 2 ** 20;
const gibi = 2 ** 30;

/** `wanted` is the least version, "20.19.0". */
export function judgeNode(version: string, wanted: string): Finding {
  if (compareVersions(version, wanted) >= 0) return ok("node", `${version} (${wanted} or newer)`);
  return problem("node", version, `Install Node ${wanted} or newer.`);
}

/** Installed version of a library, undefined where it is missing, against the one that package.json pins. */
export function judgeLibrary(name: string, wanted: string, installed: string | undefined): Finding {
  if (installed === wanted) return ok(name, installed);
  const remedy = "Run npm ci in coord's directory.";
  if (installed === undefined) return problem(name, "not installed", remedy);
  return warning(name, `${installed}, tested with ${wanted}`, remedy);
}

export function judgeEngine(check: EngineCheck): Finding {
  if (check.ok) return ok("engine", `${check.engine}: a tiny model loads and runs in ${Math.round(check.tookMs)} ms`);
  return problem("engine", check.reason, "Run npm ci again; --debug of a launch shows the library's own message.");
}

/** `processors` as the scheduler lets us use them, `quota` as the control group does (undefined for no limit). */
export function judgeProcessors(processors: number, quota: number | undefined): Finding {
  if (quota === undefined || quota >= processors) return ok("processors", String(processors));
  return warning(
    "processors",
    `${processors}, of which the control group allows ${round(quota)}`,
    `Give --threads-per-worker so that all workers together have at most ${Math.max(1, Math.floor(quota))} threads.`,
  );
}

/** Bytes available to new processes, and the control group's limit where there is one. */
export function judgeMemory(memory: {
  readonly total: number;
  readonly available: number;
  readonly limit?: number;
}): Finding {
  const limited = memory.limit === undefined ? "" : `, limited to ${gibibytes(memory.limit)} by the control group`;
  const value = `${gibibytes(memory.available)} of ${gibibytes(memory.total)} available${limited}`;
  const usable = Math.min(memory.available, memory.limit ?? Number.POSITIVE_INFINITY);
  const remedy = "End other programs, or start fewer workers; coord plan says what each takes.";
  if (usable < 256 * mebi) return problem("memory", value, remedy);
  return usable < 2 * gibi ? warning("memory", value, remedy) : ok("memory", value);
}

/** Bytes of /dev/shm; undefined where there is none. */
export function judgeSharedMemory(bytes: number | undefined): Finding {
  const remedy =
    "Mount a larger one (docker run --shm-size 1g) for programs that exchange tensors through it; coord does not.";
  if (bytes === undefined) return warning("/dev/shm", "none", remedy);
  return bytes < 64 * mebi ? warning("/dev/shm", gibibytes(bytes), remedy) : ok("/dev/shm", gibibytes(bytes));
}

export function judgeDisk(directory: string, freeBytes: number): Finding {
  const value = `${gibibytes(freeBytes)} free at ${directory}`;
  const remedy = "Free space there or give another --output; coord plan says what checkpoints take.";
  if (freeBytes < 200 * mebi) return problem("disk", value, remedy);
  return freeBytes < 5 * gibi ? warning("disk", value, remedy) : ok("disk", value);
}

/** Median milliseconds to write and sync 1 MiB; undefined where nothing could be written, for the reason given. */
export function judgeSync(
  directory: string,
  result: { readonly milliseconds: number } | { readonly reason: string },
): Finding {
  if ("reason" in result) {
    return problem("output", `${directory}: ${result.reason}`, "Give an --output that this user may write to.");
  }
  const value = `1 MiB written and synced in ${round(result.milliseconds)} ms at ${directory}`;
  if (result.milliseconds < 250) return ok("fsync", value);
  return warning("fsync", value, "Checkpoints will take long there; a local disk is faster.");
}

/** Files that a process may have open. */
export function judgeOpenFiles(limit: number): Finding {
  const value = Number.isFinite(limit) ? String(limit) : "unlimited";
  if (limit >= 4096) return ok("open files", value);
  const remedy = "Raise it: ulimit -n 65536 (or LimitNOFILE= in a systemd unit).";
  return limit >= 1024 ? warning("open files", value, remedy) : problem("open files", value, remedy);
}

export function judgePort(result: { readonly port: number } | { readonly reason: string }): Finding {
  if ("port" in result) return ok("loopback", `a port can be bound and reached (127.0.0.1:${result.port})`);
  return problem("loopback", result.reason, "Let this user listen on 127.0.0.1; the coordinator needs one port.");
}

export function judgeGpu(gpu: GpuFacts): Finding {
  const name = `GPU ${gpu.index}`;
  const extras = [
    gpu.mig === "Enabled" ? "MIG on" : undefined,
    gpu.eccErrors > 0 ? `${gpu.eccErrors} uncorrected ECC errors` : undefined,
  ].filter((text) => text !== undefined);
  const value = [
    `${gpu.name}, ${gibibytes(gpu.usedBytes)} of ${gibibytes(gpu.totalBytes)} in use, driver ${gpu.driver}`,
    ...extras,
  ].join(", ");
  if (gpu.eccErrors > 0) return problem(name, value, "Reset or replace the GPU: its memory returns wrong values.");
  const holders = gpu.processes.map(
    ({ bytes, pid, runId }) => `pid ${pid}${runId ? ` (run ${runId})` : ""} ${gibibytes(bytes)}`,
  );
  if (holders.length === 0) return ok(name, value);
  return warning(
    name,
    `${value}; held by ${holders.join(", ")}`,
    "coord kill-stale ends those that dead runs left behind.",
  );
}

/** Negative, zero or positive as `a` is older than, equal to or newer than `b`. */
function compareVersions(a: string, b: string): number {
  const parts = (version: string) => version.replace(/^v/, "").split(/[.-]/).slice(0, 3).map(Number);
  const [left, right] = [parts(a), parts(b)];
  for (let at = 0; at < 3; at++) {
    const difference = (left[at] || 0) - (right[at] || 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function round(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 1 });
}
