/** One GPU as nvidia-smi describes it. */
export interface GpuFacts {
  readonly index: number;
  readonly uuid: string;
  readonly name: string;
  readonly totalBytes: number;
  readonly usedBytes: number;
  readonly driver: string;
  /** "Enabled", "Disabled" or "[N/A]". */
  readonly mig: string;
  /** Uncorrected errors since the driver was loaded. */
  readonly eccErrors: number;
  readonly processes: readonly GpuProcess[];
}

/** A process that holds memory of a GPU. */
export interface GpuProcess {
  readonly pid: number;
  readonly bytes: number;
  /** The run it belongs to, if it is ours. */
  readonly runId?: string | undefined;
}

export const gpuQuery =
  "index,uuid,name,memory.total,memory.used,driver_version,mig.mode.current,ecc.errors.uncorrected.volatile.total";
export const processQuery = "gpu_uuid,pid,used_memory";

/** Parses what nvidia-smi prints for the two queries with `--format=csv,noheader,nounits`. */
export function parseGpuFacts(gpus: string, processes: string, runOf: (pid: number) => string | undefined): GpuFacts[] {
  const held = rows(processes, 3).map(([uuid, pid, mebibytes]) => ({
    uuid,
    pid: Number(pid),
    bytes: numberOr0(mebibytes!) * 2 ** 20,
    runId: runOf(Number(pid)),
  }));
  return rows(gpus, 8).map(([index, uuid, name, total, used, driver, mig, ecc]) => ({
    index: Number(index),
    uuid: uuid!,
    name: name!,
    totalBytes: numberOr0(total!) * 2 ** 20,
    usedBytes: numberOr0(used!) * 2 ** 20,
    driver: driver!,
    mig: mig!,
    eccErrors: numberOr0(ecc!),
    processes: held.filter((holder) => holder.uuid === uuid).map(({ uuid: _, ...process }) => process),
  }));
}

export function gibibytes(bytes: number): string {
  const gib = bytes / 2 ** 30;
  return gib >= 1 ? `${gib.toFixed(1)} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`;
}

/** The lines that have so many fields; messages such as "No devices were found" have not. */
function rows(text: string, fields: number): string[][] {
  return text
    .split("\n")
    .map((line) => line.split(",").map((cell) => cell.trim()))
    .filter((cells) => cells.length === fields);
}

/** "[N/A]" where a GPU has no such figure. */
function numberOr0(text: string): number {
  const value = Number(text);
  return Number.isFinite(value) ? value : 0;
}
