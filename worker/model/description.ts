import type { Shape, Tensor } from "./graph.ts";

/** What an architecture writes its graph with: whoever hands this in decides what is trained and where LoRA goes. */
export interface GraphWriter {
  /** A weight of the model, by its name in the .safetensors files. */
  parameter(name: string, shape: Shape): Tensor;
  /**
   * The linear module `module` (its weight is `module.weight`, [outFeatures, in]) on x [N, in]: [N, outFeatures].
   * `tiedTo` names the parameter that stands in for the module's own weight.
   */
  linear(module: string, x: Tensor, outFeatures: number, options?: { bias?: boolean; tiedTo?: string }): Tensor;
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
  /** float32 [S, S]: added to attention scores. */
  causalMask: "causalMask",
  /** float32 [S, D/2] */
  cos: "ropeCos",
  sin: "ropeSin",
} as const;

/** A model, once, for all engines. */
export interface ModelDescription {
  readonly vocabularySize: number;
  /** Angle per position of each pair of the rotary embedding, D/2 of them. */
  readonly inverseFrequencies: Float32Array;
  /** The loss of each label token, in nats: [L]. */
  loss(write: GraphWriter): Tensor;
}
