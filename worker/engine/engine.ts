import type { ParamLayout } from "../../shared/tensors/layout.ts";

/** One micro-batch of rows, right-padded. All arrays are row-major `[batch, sequence]`. */
export interface Batch {
  readonly batch: number;
  readonly sequence: number;
  /** Token ids; padding may hold any valid id, because labels mask it and attention is causal. */
  readonly inputIds: Int32Array;
  /** Labels, already aligned with `inputIds` as HuggingFace has them (the model shifts by one); -100 is masked. */
  readonly labels: Int32Array;
  /**
   * Where rows hold several samples one after the other: which one each token is of, from 0 in each row. Samples do not see
   * each other and count their positions from 0. Absent where each row is one sample.
   */
  readonly segments?: Int32Array | undefined;
}

/** Sum over label tokens, in nats, and their number. Divided once, globally, by the caller. */
export interface TokenLoss {
  readonly sum: number;
  readonly tokens: number;
}

/** Makes dropout masks a pure function of the run's seed and the sample's place, never of the worker. */
export interface DropoutKey {
  readonly seed: number;
  readonly step: number;
  readonly slot: number;
  readonly microBatch: number;
}

/** What a model needs, by term, in bytes. */
export interface MemoryEstimate {
  readonly weights: number;
  readonly activations: number;
  readonly trainable: number;
  readonly workspace: number;
  readonly total: number;
}

/**
 * Computes gradients of the trainable parameters, and nothing else: optimizer, schedule, clipping and checkpoints are
 * outside. An engine is driven by one caller; calls do not overlap.
 */
export interface Engine {
  /** For the log: "onnx (cpu, 2 threads)". */
  readonly description: string;
  readonly layout: ParamLayout;
  /** Initial values of the trainable parameters (PEFT's initialisation: A Kaiming-uniform from the seed, B zero, copies of the base model's). */
  initialParameters(seed: number): Promise<Float32Array>;
  /**
   * Adds d(sum of token losses)/d(parameters) to `gradient` (length `layout.elements`) and returns the loss.
   * `onGradient` reports each contiguous range that is final for this call, in elements, as soon as it is.
   */
  forwardBackward(
    batch: Batch,
    gradient: Float32Array,
    options?: { readonly dropout?: DropoutKey; readonly onGradient?: (start: number, end: number) => void },
  ): Promise<TokenLoss>;
  evaluate(batch: Batch): Promise<TokenLoss>;
  /**
   * Where a loss that is no number comes from: the first module ("model.layers.3.mlp.up_proj") or layer whose output for
   * this batch is not finite; undefined where all are.
   */
  firstNotFinite(batch: Batch): Promise<string | undefined>;
  /** Takes a copy of `flat`. */
  setParameters(flat: Float32Array): Promise<void>;
  /** Predicted peak for micro-batches of this size. */
  memory(batch: number, sequence: number): MemoryEstimate;
  dispose(): Promise<void>;
}
