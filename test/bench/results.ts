import type { AllReduceResult } from "./allReduce/allReduceBench.ts";
import type { MemoryRow } from "./engine/engineMemory.ts";
import type { SpeedResult } from "./engine/speed/speedCase.ts";
import type { Machine } from "./machine.ts";
import type { TrainingResult } from "./trainingBench.ts";

/** Everything that one call of the benches has measured. */
export interface Results {
  /** ISO 8601. */
  readonly date: string;
  readonly machine: Machine;
  readonly demo?: { readonly cases: readonly TrainingResult[] };
  readonly generated?: {
    readonly parameters: number;
    readonly trainable: number;
    readonly shape: string;
    readonly sequenceLength: number;
    readonly cases: readonly TrainingResult[];
  };
  readonly allReduce?: AllReduceResult;
  readonly engineMemory?: readonly MemoryRow[];
  /** No results where there is no PyTorch to compare with. */
  readonly engineSpeed?: { readonly results: readonly SpeedResult[] | undefined };
}
