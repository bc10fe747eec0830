import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { readLock } from "../../shared/process/exclusiveLock.ts";
import { isAlive } from "../../shared/process/identity.ts";
import { readProcessRecords } from "../../shared/process/record.ts";
import { checkPrivate } from "../../shared/regions/regionDirectory.ts";
import { sharedMemoryDirectory } from "../../shared/runPaths.ts";
import { leasePath } from "../ports/bindLeased.ts";
import type { RunDirectory } from "../runs/runDirectory.ts";
import { runLockPath } from "../runs/runLock.ts";
import type { StaleFile } from "./staleReport.ts";

/** Lock, process records and shared memory that a run without a living coordinator has left. */
export async function staleRunFiles(directory: RunDirectory): Promise<StaleFile[]> {
  const locks = await staleLockFiles(runLockPath(directory), "its holder is gone");
  const { records } = await readProcessRecords(directory.paths.processes, directory.runId);
  const gone = records.filter(({ record }) => !isAlive(record.identity));
  const memory = sharedMemoryDirectory(directory.home, directory.runId);
  return [
    ...locks,
    ...gone.map(({ path }) => ({ path, reason: "its process is gone" })),
    ...(isPrivate(memory) ? [{ path: memory, reason: "its run is over" }] : []),
  ];
}

/** Port leases whose holders are gone; of one run, or of all. */
export async function staleLeases(home: string, runId?: string): Promise<StaleFile[]> {
  const names = await readdir(join(home, "ports")).catch(() => []);
  const ports = new Set(names.flatMap((name) => /^(\d{1,5})\.\d+$/.exec(name)?.[1] ?? []));
  const leases = [...ports].map((port) => staleLockFiles(leasePath(home, Number(port)), "its holder is gone", runId));
  return (await Promise.all(leases)).flat();
}

export async function removeFiles(files: readonly StaleFile[]): Promise<void> {
  for (const { path } of files) await rm(path, { recursive: true, force: true });
}

function isPrivate(directory: string): boolean {
  try {
    checkPrivate(directory);
    return true;
  } catch {
    return false;
  }
}

async function staleLockFiles(path: string, reason: string, runId?: string): Promise<StaleFile[]> {
  const entries = await readLock(path);
  return entries
    .filter(({ alive, holder }) => !alive && (runId === undefined || holder?.runId === runId))
    .map((entry) => ({ path: entry.path, reason }));
}
