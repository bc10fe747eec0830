import { CoordError } from "../errors.ts";

/**
 * The bytes of `values` as they go over the wire and into files: little-endian float32, a view without a copy.
 * (All platforms of the tensor libraries are little-endian, so the memory is already in that order.)
 */
export function bytesOfFloat32(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Reads little-endian float32 values: a view where `bytes` starts at a multiple of 4, otherwise a copy. */
export function float32OfBytes(bytes: Uint8Array): Float32Array {
  if (bytes.byteLength % 4 !== 0) {
    throw new CoordError("INVALID_REQUEST", `${bytes.byteLength} bytes are not a whole number of float32 values.`);
  }
  if (bytes.byteOffset % 4 === 0) return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const copy = new Float32Array(bytes.byteLength / 4);
  bytesOfFloat32(copy).set(bytes);
  return copy;
}
