import { availableParallelism, cpus, loadavg, release, totalmem, type } from "node:os";

/** What a measurement was made on. */
export interface Machine {
  readonly processor: string;
  readonly processors: number;
  readonly memoryBytes: number;
  /** Operating system and kernel. */
  readonly system: string;
  readonly node: string;
  /** Mean number of runnable processes over the minute before the first measurement. */
  readonly loadBefore: number;
}

export function describeMachine(): Machine {
  return {
    processor: cpus()[0]?.model.trim() ?? "unknown",
    processors: availableParallelism(),
    memoryBytes: totalmem(),
    // Without what a distributor or a cloud appends to the version.
    system: `${type()} ${release().split("-")[0]} ${process.arch}`,
    node: process.version,
    loadBefore: loadavg()[0]!,
  };
}
