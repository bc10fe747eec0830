import { CoordError } from "../errors.ts";
import { bytesOfFloat32 } from "../tensors/bytes.ts";
import { bitsPerElement, narrowerOf, widenerOf } from "../tensors/dtype.ts";
import { elementCount } from "../tensors/layout.ts";
import type { SafetensorsFile } from "../tensors/safetensors.ts";
import type { MergedTensor } from "./mergePlan.ts";
import { mergeRows } from "./mergeRows.ts";

/** Elements that are in memory at a time, or one row where that has more. */
const pieceElements = 1024 * 1024;

/** The bytes of one tensor of the merged model, piece by piece. Throws what reading throws, and NOT_FINITE. */
export async function* mergedPieces(tensor: MergedTensor, file: SafetensorsFile): AsyncGenerator<Uint8Array> {
  const { dtype, lora, replacement, shape, source } = tensor;
  const elements = elementCount(shape);
  const width = shape.length === 2 ? shape[1]! : 1;
  const rowsPerPiece = Math.max(1, Math.floor(pieceElements / Math.max(1, width)));
  const bytesOf = (count: number) => (count * bitsPerElement(source.dtype)!) / 8;
  // Elements of less than a byte have no piece boundaries of their own.
  const step = bitsPerElement(source.dtype)! < 8 ? elements : rowsPerPiece * width;
  for (let at = 0; at < elements; at += step) {
    const count = Math.min(step, elements - at);
    if (replacement) {
      yield narrowed(replacement.data.slice(at, at + count), tensor);
      continue;
    }
    const bytes = await file.readBytes(source.name, bytesOf(at), bytesOf(at + count));
    if (!lora && dtype === source.dtype) {
      yield bytes;
      continue;
    }
    const values = widened(bytes, source.dtype, count);
    if (lora) mergeRows(values, at / width, lora);
    yield narrowed(values, tensor);
  }
}

function narrowed(values: Float32Array, { dtype, name }: MergedTensor): Uint8Array {
  const bytes = new Uint8Array((values.length * bitsPerElement(dtype)!) / 8);
  narrowerOf(dtype)!(values, bytes);
  if (dtype === "F16") refuseOverflow(values, name);
  return bytes;
}

function widened(bytes: Uint8Array, dtype: string, count: number): Float32Array {
  const values = new Float32Array(count);
  const widen = widenerOf(dtype);
  if (widen) widen(bytes, values);
  else bytesOfFloat32(values).set(bytes);
  return values;
}

/** 65520 is the first number that float16 rounds to infinity. */
function refuseOverflow(values: Float32Array, name: string): void {
  const found = values.find((value) => Math.abs(value) >= 65520 && Number.isFinite(value));
  if (found === undefined) return;
  throw new CoordError("NOT_FINITE", `${name} holds ${found}, which float16 cannot; use --dtype bf16 or f32.`);
}
