import type { ProcessRole } from "../../shared/process/record.ts";
import type { TerminateOutcome } from "../../shared/process/terminate.ts";

/** A process that a dead run left behind, and what became of it. */
export interface StaleProcess {
  readonly runId: string;
  readonly role: ProcessRole;
  readonly rank: number | undefined;
  readonly nodeRank: number | undefined;
  readonly localRank: number | undefined;
  readonly pid: number;
  readonly ageMs: number;
  /** CUDA_VISIBLE_DEVICES of a worker. */
  readonly gpu: string | undefined;
  /** Ports that it listened on. */
  readonly ports: readonly number[];
  readonly residentBytes: number;
  /** Undefined where nvidia-smi tells nothing. */
  readonly gpuBytes: number | undefined;
  readonly reason: string;
  /** "listed" in a dry run; "spared" when its run came to life meanwhile; see TerminateOutcome for the others. */
  readonly outcome: "listed" | "spared" | TerminateOutcome;
}

/** A process of ours that was left alone. */
export interface SparedProcess {
  readonly runId: string;
  readonly role: ProcessRole;
  readonly pid: number;
  readonly reason: string;
}

/** A file of this program's own keeping that nobody needs any more, or that is not what it should be. */
export interface StaleFile {
  readonly path: string;
  readonly reason: string;
}

/** What `coord kill-stale` found and did. */
export interface StaleReport {
  readonly home: string;
  readonly dryRun: boolean;
  readonly processes: readonly StaleProcess[];
  readonly spared: readonly SparedProcess[];
  /** Files that were removed, or would be in a dry run. */
  readonly files: readonly StaleFile[];
  /** Process records that are damaged or forged; they are left for people to look at. */
  readonly damaged: readonly StaleFile[];
  /** What the ended processes held, or hold in a dry run, in bytes. */
  readonly freedResidentBytes: number;
  readonly freedGpuBytes: number;
}

/** True when the process no longer runs, or would not after a real run. */
export function isFreed({ outcome }: StaleProcess): boolean {
  return outcome === "listed" || outcome === "gone" || outcome === "terminated" || outcome === "killed";
}
