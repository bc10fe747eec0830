import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";

/** The fields of /proc/PID/stat that matter here. */
export interface ProcStat {
  readonly state: string;
  readonly parent: number;
  /** Field 22: clock ticks between the boot and the start of the process, as text because it may exceed 2^53. */
  readonly startTime: string;
}

/** Parses /proc/PID/stat; undefined when it is not one. The command name may hold blanks and parentheses. */
export function parseStat(text: string): ProcStat | undefined {
  const fields = text
    .slice(text.lastIndexOf(")") + 1)
    .trim()
    .split(/\s+/);
  // fields[0] is field 3 of the manual page proc_pid_stat(5).
  const [state, parent, startTime] = [fields[0], Number(fields[1]), fields[19]];
  if (!state || !Number.isInteger(parent) || !startTime || !/^\d+$/.test(startTime)) return undefined;
  return { state, parent, startTime };
}

export function readStat(pid: number): ProcStat | undefined {
  const text = readText(`/proc/${pid}/stat`);
  return text === undefined ? undefined : parseStat(text);
}

/** The boot of this host and the PID namespace: a PID means something only within one of them. */
export function readBootId(): string {
  const boot = readText("/proc/sys/kernel/random/boot_id")?.trim() ?? "unknown";
  return `${boot}/${readPidNamespace(process.pid) ?? "unknown"}`;
}

/** Name of the process's PID namespace; undefined where the process is gone or another user's. */
export function readPidNamespace(pid: number): string | undefined {
  return attempt(() => readlinkSync(`/proc/${pid}/ns/pid`));
}

/** All PIDs that /proc shows. */
export function listPids(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Entries of a list that ends each entry with a NUL, as in /proc/PID/environ; undefined where it cannot be read. */
export function readNulList(path: string): string[] | undefined {
  return readText(path)
    ?.split("\0")
    .filter((entry) => entry !== "");
}

/** The owner (effective uid) of a process; undefined when it is gone. */
export function readOwnerUid(pid: number): number | undefined {
  return attempt(() => statSync(`/proc/${pid}`).uid);
}

/** Resident memory in bytes; undefined when the process is gone. */
export function readResidentBytes(pid: number): number | undefined {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readText(`/proc/${pid}/status`) ?? "")?.[1];
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
}

/** Milliseconds since a start time of ProcStat. Linux reports ticks to user space in hundredths of a second. */
export function ageOf(startTime: string): number {
  const uptimeSeconds = Number(readText("/proc/uptime")?.split(" ")[0] ?? 0);
  return Math.max(0, Math.round(uptimeSeconds * 1000 - Number(startTime) * 10));
}

function readText(path: string): string | undefined {
  return attempt(() => readFileSync(path, "utf8"));
}

/** A process may end between two looks at it, and another user's may be closed to us: neither is an error. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
