import { CoordError } from "../../shared/errors.ts";
import { ancestorPids, hasProcfs } from "../../shared/process/identity.ts";
import { type ProcessRecord, processRoles, readProcessRecords } from "../../shared/process/record.ts";
import { terminate } from "../../shared/process/terminate.ts";
import { listeningPorts } from "../ports/portHolders.ts";
import { runIds } from "../runs/findRun.ts";
import { RunDirectory } from "../runs/runDirectory.ts";
import { isRunId } from "../runs/runId.ts";
import { observeOwner } from "../runs/runLiveness.ts";
import { decideStale, type RunOwner, type StaleDecision } from "./decideStale.ts";
import { gpuMemoryByPid } from "./gpuMemory.ts";
import { realHome, type ScannedProcess, scanProcesses } from "./scanProcesses.ts";
import { removeFiles, staleLeases, staleRunFiles } from "./staleFiles.ts";
import { isFreed, type StaleFile, type StaleProcess, type StaleReport } from "./staleReport.ts";

export interface KillStaleOptions {
  readonly home: string;
  /** Only find and report. */
  readonly dryRun: boolean;
  /** End live runs of this user too. */
  readonly allRuns: boolean;
  /** Look at one run only. */
  readonly runId?: string | undefined;
  /** Milliseconds between SIGTERM and SIGKILL. */
  readonly graceMs: number;
  readonly signal?: AbortSignal;
}

/**
 * Ends the processes that dead runs of this COORD_HOME left behind, and removes their leases, locks and records.
 * Whatever is not provably ours is left alone. Throws PREFLIGHT_REFUSED on hosts without /proc.
 */
export async function killStale(options: KillStaleOptions): Promise<StaleReport> {
  if (!hasProcfs || !process.getuid) {
    throw new CoordError(
      "PREFLIGHT_REFUSED",
      `coord kill-stale needs /proc to tell whose a process is, which ${process.platform} does not have; end the processes by hand.`,
    );
  }
  const { allRuns, dryRun, runId } = options;
  if (runId !== undefined && !isRunId(runId)) {
    throw new CoordError(
      "RUN_NOT_FOUND",
      `${JSON.stringify(runId)} is not the id of a run; \`coord list\` shows them.`,
    );
  }
  const home = realHome(options.home);
  // Processes first, owners second: a coordinator that starts in between owns its run by the time we look.
  const scanned = scanProcesses();
  const known = await lookAtRuns(home, scanned);
  const decisions = decideStale(known.records, {
    self: { pid: process.pid, ancestors: ancestorPids(), uid: process.getuid(), home },
    processes: scanned,
    owners: known.owners,
    allRuns,
    runId,
  });

  const found = await describe(decisions.filter(({ action }) => action === "end"));
  const processes = dryRun ? found : await endAll(found, home, options);
  const files = await staleFiles(home, processes, runId);
  if (!dryRun) await removeFiles(files);
  const freed = processes.filter(isFreed);
  return {
    home,
    dryRun,
    processes: processes.map(({ identity: _, ...shown }) => shown),
    spared: decisions.flatMap(({ process: { identity, runId }, role, action, reason }) =>
      action === "spare" && role !== undefined && runId !== undefined
        ? [{ runId, role, pid: identity.pid, reason }]
        : [],
    ),
    files,
    damaged: known.damaged,
    freedResidentBytes: freed.reduce((sum, { residentBytes }) => sum + residentBytes, 0),
    freedGpuBytes: freed.reduce((sum, { gpuBytes }) => sum + (gpuBytes ?? 0), 0),
  };
}

interface KnownRuns {
  readonly records: ProcessRecord[];
  readonly damaged: StaleFile[];
  readonly owners: Map<string, RunOwner>;
}

async function lookAtRuns(home: string, scanned: readonly ScannedProcess[]): Promise<KnownRuns> {
  const known: KnownRuns = { records: [], damaged: [], owners: new Map() };
  const named = scanned.flatMap(({ runId }) => (runId !== undefined && isRunId(runId) ? [runId] : []));
  for (const runId of new Set([...(await runIds(home)), ...named])) {
    const directory = new RunDirectory(home, runId);
    const { records, damaged } = await readProcessRecords(directory.paths.processes, runId);
    known.records.push(...records.map(({ record }) => record));
    known.damaged.push(...damaged);
    known.owners.set(runId, await ownerOf(directory));
  }
  return known;
}

async function ownerOf(directory: RunDirectory): Promise<RunOwner> {
  const { coordinator, lock } = await observeOwner(directory);
  if (coordinator === "alive" || lock === "alive") return "alive";
  return coordinator === "gone" || lock === "gone" ? "gone" : "unknown";
}

type FoundProcess = StaleProcess & Pick<ScannedProcess, "identity">;

async function describe(decisions: readonly StaleDecision<ScannedProcess>[]): Promise<FoundProcess[]> {
  if (decisions.length === 0) return [];
  const ports = await listeningPorts(decisions.map(({ process }) => process.identity.pid));
  const gpuBytes = await gpuMemoryByPid();
  return decisions.map(({ process, record, role, reason }) => {
    const { gpu, identity, localRank, nodeRank, rank, residentBytes, runId, ageMs } = process;
    const { pid } = identity;
    return {
      identity,
      runId: runId!,
      role: role!,
      rank: record?.rank ?? rank,
      nodeRank: record?.nodeRank ?? nodeRank,
      localRank: record?.localRank ?? localRank,
      pid,
      ageMs,
      // Agents and coordinators inherit the variable but compute nothing.
      gpu: role === "worker" ? (record?.gpu ?? gpu) : undefined,
      ports: ports.get(pid) ?? [],
      residentBytes,
      gpuBytes: gpuBytes.get(pid),
      reason,
      outcome: "listed",
    };
  });
}

/** Ends coordinators, then agents, then workers, so that nobody is there to start again what was ended. */
async function endAll(
  found: readonly FoundProcess[],
  home: string,
  options: KillStaleOptions,
): Promise<FoundProcess[]> {
  const ended: FoundProcess[] = [];
  for (const role of processRoles) {
    const group = found.filter((process) => process.role === role);
    ended.push(...(await Promise.all(group.map((process) => end(process, home, options)))));
  }
  return ended;
}

async function end(
  process: FoundProcess,
  home: string,
  { allRuns, graceMs, signal }: KillStaleOptions,
): Promise<FoundProcess> {
  const { identity, runId } = process;
  // The user may have resumed the run while its neighbours were being ended.
  if (!allRuns && (await ownerOf(new RunDirectory(home, runId))) === "alive") return { ...process, outcome: "spared" };
  const outcome = await terminate(identity, { graceMs, expectRunId: runId, ...(signal ? { signal } : {}) });
  return { ...process, outcome };
}

async function staleFiles(
  home: string,
  processes: readonly StaleProcess[],
  runId: string | undefined,
): Promise<StaleFile[]> {
  const files = await staleLeases(home, runId);
  for (const id of runId === undefined ? await runIds(home) : [runId]) {
    const directory = new RunDirectory(home, id);
    // As long as a process is there, the next kill-stale needs to see whose it is.
    const isEmpty = processes.every((process) => process.runId !== id || isFreed(process));
    if (isEmpty && (await ownerOf(directory)) === "gone") files.push(...(await staleRunFiles(directory)));
  }
  return files;
}
