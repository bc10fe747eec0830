import { readFileSync } from "node:fs";
import { freemem, totalmem } from "node:os";

/** Memory of this host, in bytes. */
export interface HostMemory {
  readonly total: number;
  /** Free, or held by caches that give way. */
  readonly available: number;
  /** Of the control group, where it is less than the host's. */
  readonly limit?: number;
}

export function hostMemory(): HostMemory {
  const available = /^MemAvailable:\s+(\d+) kB$/m.exec(readText("/proc/meminfo"))?.[1];
  const total = totalmem();
  // A number beyond the host's memory is the kernel's way of saying that there is no limit.
  const limit = process.constrainedMemory();
  return {
    total,
    available: available === undefined ? freemem() : Number(available) * 1024,
    ...(limit > 0 && limit < total ? { limit } : {}),
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
