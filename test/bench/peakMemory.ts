import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The coordinator's command line is "cli"; the others are the roles of process records. */
export type MeasuredRole = "cli" | "coordinator" | "agent" | "worker";

/**
 * Records the largest resident size that each process of a run has had: VmHWM of /proc/PID/status, which the kernel
 * keeps, so that sampling misses at most what a process takes in its last moments.
 */
export class PeakMemory {
  readonly #peaks = new Map<string, { readonly role: MeasuredRole; readonly bytes: number }>();

  /** Looks at the command's own process and at those that have a record under `COORD_HOME/runs/RUN/processes`. */
  sample(home: string, cliPid: number): void {
    this.#note(`cli-${cliPid}.json`);
    for (const run of list(join(home, "runs"))) {
      for (const name of list(join(home, "runs", run, "processes"))) this.#note(name);
    }
  }

  /** Bytes by role: the sum over the role's processes, and the largest of them. */
  byRole(): Map<MeasuredRole, { readonly sum: number; readonly largest: number; readonly processes: number }> {
    const roles = new Map<MeasuredRole, { sum: number; largest: number; processes: number }>();
    for (const { role, bytes } of this.#peaks.values()) {
      const total = roles.get(role) ?? { sum: 0, largest: 0, processes: 0 };
      roles.set(role, {
        sum: total.sum + bytes,
        largest: Math.max(total.largest, bytes),
        processes: total.processes + 1,
      });
    }
    return roles;
  }

  #note(recordName: string): void {
    const [, role, pid] = /^(cli|coordinator|agent|worker)-(\d+)\.json$/.exec(recordName) ?? [];
    const bytes = pid === undefined ? undefined : readPeakBytes(Number(pid));
    if (bytes !== undefined) this.#peaks.set(recordName, { role: role as MeasuredRole, bytes });
  }
}

/** The largest resident size that a process has had, in bytes; undefined when it is gone. */
function readPeakBytes(pid: number): number | undefined {
  try {
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  } catch {
    return undefined;
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
