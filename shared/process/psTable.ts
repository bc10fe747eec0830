import { execaSync } from "execa";
import type { ProcStat } from "./procfs.ts";

/** What readStat says, from `ps`: for hosts without /proc (macOS, BSD). The start time has a resolution of one second. */
export function readStatByPs(pid: number): ProcStat | undefined {
  // LC_ALL=C: the date must read the same in every process that compares it.
  const { stdout, failed } = execaSync("ps", ["-o", "stat=,ppid=,lstart=", "-p", String(pid)], {
    env: { LC_ALL: "C", TZ: "UTC" },
    reject: false,
    timeout: 5000,
  });
  return failed ? undefined : parsePsLine(stdout);
}

/** Parses one line of `ps -o stat=,ppid=,lstart=`. */
export function parsePsLine(line: string): ProcStat | undefined {
  const [state, parent, ...started] = line.trim().split(/\s+/);
  if (!state || !/^\d+$/.test(parent ?? "") || started.length < 4) return undefined;
  return { state: state.slice(0, 1), parent: Number(parent), startTime: started.join(" ") };
}
