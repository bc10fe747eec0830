import type { Machine } from "../machine.ts";
import type { Summary } from "../statistics.ts";

/** What a process says about its preparation of a data set. */
export interface Prepared {
  readonly samples: number;
  readonly tokens: number;
  readonly labels: number;
  /** From before the tokenizer and the data are loaded to after the samples are saved. */
  readonly seconds: number;
  /** Of all processors in that time. */
  readonly cpuSeconds: number;
  /** The largest resident size: of the process with all its threads, or of the largest process. */
  readonly peakBytes: number;
}

/** Figures of one side over all repetitions. */
export interface DatasetSide {
  readonly seconds: Summary;
  readonly cpuSeconds: Summary;
  /** From starting the process to its end. */
  readonly wholeSeconds: Summary;
  readonly peakBytes: Summary;
}

export interface DatasetCase {
  readonly name: string;
  readonly bytes: number;
  readonly samples: number;
  readonly tokens: number;
  readonly labels: number;
  readonly coord: DatasetSide;
  /** Absent without a Python that has it. */
  readonly theirs?: DatasetSide;
  /** Their time over ours, pair by pair: above 1 where ours is the faster. */
  readonly ratio?: { readonly seconds: Summary; readonly wholeSeconds: Summary; readonly cpuSeconds: Summary };
}

export interface DatasetResults {
  readonly date: string;
  readonly machine: Machine;
  readonly repetitions: number;
  readonly maxLength: number;
  readonly processes: number;
  /** Versions of what is compared with, or why it is not. */
  readonly theirs: string;
  readonly tokenizer: string;
  readonly cases: readonly DatasetCase[];
}
