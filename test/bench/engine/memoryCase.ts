import type { MemoryEstimate } from "../../../worker/engine/engine.ts";
import type { Execution } from "../../../worker/model/execution.ts";
import type { Trainable } from "../../../worker/model/trainable.ts";

/** What an engine is opened with, and what it then computes. */
export interface MemoryCase {
  readonly batch: number;
  readonly sequence: number;
  readonly steps: number;
  readonly threads: number;
  readonly vocabularySize: number;
  readonly trainable: Trainable;
  readonly execution: Execution;
}

export interface MeasuredMemory {
  readonly predicted: MemoryEstimate;
  /** Resident size before anything of the model is read. */
  readonly baselineBytes: number;
  /** Largest resident size so far when the model is open. */
  readonly loadedBytes: number;
  /** Largest resident size over all steps (VmHWM). */
  readonly peakBytes: number;
  readonly loadSeconds: number;
  readonly stepSeconds: readonly number[];
  /** Mean over tokens, of the last step. */
  readonly loss: number;
  readonly gradientNorm: number;
  readonly engine: string;
}
