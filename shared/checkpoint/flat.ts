import { CoordError } from "../errors.ts";
import type { ParamLayout } from "../tensors/layout.ts";
import type { TensorToWrite } from "../tensors/safetensors.ts";

/** A float32 tensor, row-major. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** The tensors of a flat vector as views of it, in layout order, each name behind `prefix`. */
export function fromFlat(layout: ParamLayout, flat: Float32Array, prefix = ""): TensorToWrite[] {
  if (flat.length !== layout.elements) {
    throw new CoordError("INTERNAL", `A layout of ${layout.elements} elements was given ${flat.length} values.`);
  }
  return layout.tensors.map(({ name, shape, offset }, index) => {
    const end = layout.tensors[index + 1]?.offset ?? layout.elements;
    return { name: prefix + name, shape, data: flat.subarray(offset, end) };
  });
}

/**
 * Lays named tensors out as one flat vector. Throws ADAPTER_INVALID that names the first tensor that is missing, not
 * expected or of another shape; `source` is where they came from, for the message.
 */
export function toFlat(layout: ParamLayout, tensors: ReadonlyMap<string, Tensor>, source: string): Float32Array {
  const flat = new Float32Array(layout.elements);
  for (const { name, shape, offset } of layout.tensors) {
    const tensor = tensors.get(name);
    if (!tensor) {
      throw new CoordError(
        "ADAPTER_INVALID",
        `${source} has no tensor ${name}; check that it was trained with the same model and --target-modules.`,
      );
    }
    if (tensor.shape.length !== shape.length || shape.some((size, axis) => tensor.shape[axis] !== size)) {
      throw new CoordError(
        "ADAPTER_INVALID",
        `${source} has tensor ${name} of shape [${tensor.shape}], but [${shape}] is needed; check --lora-r and the model.`,
      );
    }
    flat.set(tensor.data, offset);
  }
  const expected = new Set(layout.tensors.map(({ name }) => name));
  for (const name of tensors.keys()) {
    if (!expected.has(name)) {
      throw new CoordError(
        "ADAPTER_INVALID",
        `${source} has the unexpected tensor ${JSON.stringify(name)}; check that it was trained with the same model and --target-modules.`,
      );
    }
  }
  return flat;
}
