import type { InferenceSession } from "onnxruntime-node";
import { CoordError } from "../../../shared/errors.ts";

/** The values of a float32 tensor that the runtime returned. */
export function floats(value: InferenceSession.OnnxValueMapType[string] | undefined): Float32Array {
  const data = value?.data;
  if (data instanceof Float32Array) return data;
  throw new CoordError("INTERNAL", "onnxruntime returned no float32 tensor.");
}

/** Their sum in float64, in order. */
export function total(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}
