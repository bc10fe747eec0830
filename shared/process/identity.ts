import { z } from "zod";
import { CoordError } from "../errors.ts";
import { type ProcStat, readBootId, readNulList, readStat } from "./procfs.ts";
import { readStatByPs } from "./psTable.ts";

export const processIdentitySchema = z.strictObject({
  pid: z.int().positive(),
  /** Field 22 of /proc/PID/stat. */
  startTime: z.string().min(1).max(64),
  /** Boot of the host, and PID namespace. */
  bootId: z.string().min(1).max(128),
});

/** Names one process for ever: a PID alone is used again after its process has ended. */
export type ProcessIdentity = z.infer<typeof processIdentitySchema>;

/** The identity of the process that has this PID now; undefined when there is none. Zombies have one. */
export function readIdentity(pid: number): ProcessIdentity | undefined {
  const stat = statOf(pid);
  return stat && { pid, startTime: stat.startTime, bootId: currentBootId() };
}

/** True while exactly this process runs. Zombies, and whoever else has the PID now, are not alive. */
export function isAlive(identity: ProcessIdentity): boolean {
  if (identity.bootId !== currentBootId()) return false;
  const stat = statOf(identity.pid);
  return stat !== undefined && stat.startTime === identity.startTime && !deadStates.has(stat.state);
}

/** The identity of this process. */
export function ownIdentity(): ProcessIdentity {
  const identity = readIdentity(process.pid);
  if (identity) return identity;
  throw new CoordError(
    "PREFLIGHT_REFUSED",
    `coord cannot tell processes apart on ${process.platform}: it needs /proc (Linux) or the ps command (macOS, BSD).`,
  );
}

/** True when both name the same process. */
export function sameProcess(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return a.pid === b.pid && a.startTime === b.startTime && a.bootId === b.bootId;
}

/**
 * The environment that a process was started with; undefined when it is gone, another user's, or the host has no /proc.
 * Of a variable given twice the first counts, as for getenv(3).
 */
export function readEnvironment(pid: number): ReadonlyMap<string, string> | undefined {
  const entries = readNulList(`/proc/${pid}/environ`);
  if (entries === undefined) return undefined;
  const environment = new Map<string, string>();
  for (const entry of entries) {
    const at = entry.indexOf("=");
    if (at > 0 && !environment.has(entry.slice(0, at))) environment.set(entry.slice(0, at), entry.slice(at + 1));
  }
  return environment;
}

/** The PIDs of this process's parent, grandparent and so on. */
export function ancestorPids(): number[] {
  const ancestors: number[] = [];
  for (let pid = process.ppid; pid > 0 && !ancestors.includes(pid); pid = statOf(pid)?.parent ?? 0) ancestors.push(pid);
  return ancestors;
}

/** True where processes can be looked into: other commands than `kill-stale` do without. */
export const hasProcfs = process.platform === "linux";

const deadStates = new Set(["Z", "X", "x"]);

function statOf(pid: number): ProcStat | undefined {
  return hasProcfs ? readStat(pid) : readStatByPs(pid);
}

let bootId: string | undefined;

function currentBootId(): string {
  // Without /proc the start time is a date, which no two boots share.
  bootId ??= hasProcfs ? readBootId() : process.platform;
  return bootId;
}
