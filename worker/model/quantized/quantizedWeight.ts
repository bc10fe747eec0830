/** A weight matrix in fewer bits, and the way back to float32. */
export interface QuantizedWeight {
  readonly bytes: number;
  /** Writes the values that the weight now stands for, row-major. */
  widen(target: Float32Array): void;
}
