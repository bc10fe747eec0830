import type { ParamLayout } from "../tensors/layout.ts";

/** All that a worker must hold to take the next step: flat float32 vectors of `layout.elements` each. */
export interface TrainingState {
  /** Steps that the parameters have taken. */
  readonly step: number;
  readonly layout: ParamLayout;
  readonly parameters: Float32Array;
  /** AdamW's first moments. */
  readonly firstMoment: Float32Array;
  /** AdamW's second moments. */
  readonly secondMoment: Float32Array;
}
