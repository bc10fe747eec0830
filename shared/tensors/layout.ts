/** One trainable tensor and its place in the flat Float32Array of all of them. */
export interface TensorSlice {
  /** PEFT name without the adapter's own name: `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`. */
  readonly name: string;
  /** Sizes, outermost first. */
  readonly shape: readonly number[];
  /** Offset of the first element, in elements. */
  readonly offset: number;
}

/** All trainable tensors, in order, without gaps. */
export interface ParamLayout {
  readonly tensors: readonly TensorSlice[];
  /** Length of the flat vector, in elements. */
  readonly elements: number;
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Lays tensors out one after the other. */
export function layOut(tensors: readonly { name: string; shape: readonly number[] }[]): ParamLayout {
  let offset = 0;
  const slices = tensors.map(({ name, shape }) => {
    const slice = { name, shape, offset };
    offset += elementCount(shape);
    return slice;
  });
  return { tensors: slices, elements: offset };
}
