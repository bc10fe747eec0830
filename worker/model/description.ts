import type { Shape, Tensor } from "./graph.ts";

/** What an architecture writes its graph with: whoever hands this in decides what is trained and where LoRA goes. */
export interface GraphWriter {
  /** A weight of the model, by its name in the .safetensors files. */
  parameter(name: string, shape: Shape): Tensor;
  /**
   * The linear module `module` (its weight is `module.weight`, [outFeatures, in]) on x [N, in]: [N, outFeatures].
   */
  linear(module: string, x: Tensor, outFeatures: number, options?: LinearOptions): Tensor;
  /** Rows of the table `name` [rows, columns] by ids [T]: [T, columns]. */
  lookUp(name: string, shape: readonly [number, number], ids: Tensor): Tensor;
  /** x itself, [T, hidden], where the model may be cut in two: in front of the first block and after each one. */
  boundary(x: Tensor): Tensor;
  /** The loss of each label token [L] by the linear module `module` on x [L, in], whose outputs are the vocabulary. */
  headLoss(module: string, x: Tensor, vocabularySize: number, options?: Pick<LinearOptions, "tiedTo">): Tensor;
}

export interface LinearOptions {
  readonly bias?: boolean;
  /** Names the parameter that stands in for the module's own weight. */
  readonly tiedTo?: string;
  /** The weight is [in, outFeatures], as in the Conv1D of transformers. */
  readonly transposed?: boolean;
}

/** Names of what is fed with each batch; worker/model/batchInputs.ts fills them. */
export const inputNames = {
  /** int32 [T] */
  ids: "inputIds",
  /** int32 [L]: which tokens predict a label. */
  labelRows: "labelRows",
  /** int32 [L]: the labels they are to predict. */
  targets: "targets",
  /** float32 [L]: ones, where the gradient starts. */
  lossGradient: "lossGradient",
  /** int32 [T]: the row of each token's position in the table of positions, learned ones or angles. */
  positions: "positions",
  /** float32 [T]: a number for each sample of a row, for samples that are packed into one. */
  segments: "segments",
  /** float32 [S, S]: added to attention scores. */
  causalMask: "causalMask",
  /** The same for layers that see `slidingWindow` tokens only. */
  slidingMask: "slidingMask",
  /** float32 [S, D/2] */
  cos: "ropeCos",
  sin: "ropeSin",
} as const;

/** Added to an attention score that is not to be seen: large enough to vanish in a softmax, yet finite. */
export const unseen = -1e30;

export interface LearnedPositions {
  readonly count: number;
  readonly firstRow: number;
}

/** A model, once, for all engines. */
export interface ModelDescription {
  readonly vocabularySize: number;
  /** Angle per position of each pair of the rotary embedding; none where positions are learned. */
  readonly inverseFrequencies: Float32Array;
  /** How many tokens back a layer with `slidingMask` sees, itself included. */
  readonly slidingWindow?: number | undefined;
  /** Where positions are learned: how many, and the row of the first one in their table. */
  readonly learnedPositions?: LearnedPositions | undefined;
  /** The loss of each label token, in nats: [L]. */
  loss(write: GraphWriter): Tensor;
}
