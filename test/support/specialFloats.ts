import fc from "fast-check";

/** Bit patterns of float32: any, and denormals, both zeros, both infinities, the largest, NaNs with and without payload. */
export const floatBits = fc.oneof(
  fc.integer().map((bits) => bits >>> 0),
  fc.constantFrom(
    0x00000000,
    0x80000000,
    0x00000001,
    0x80000001,
    0x007fffff,
    0x00800000,
    0x7f7fffff,
    0xff7fffff,
    0x7f800000,
    0xff800000,
    0x7fc00000,
    0xffc00000,
    0x7f800001,
    0x7fabcdef,
    0x3f808000,
    0x3f818000,
    0x3f808001,
  ),
);

/** A vector of any length that repeats a few bit patterns. */
export function vectorOf(patterns: readonly number[], length: number): Float32Array {
  const bits = new Uint32Array(length).map((_, index) => patterns[index % patterns.length]!);
  return new Float32Array(bits.buffer);
}

/** The bits, for comparison: as numbers NaNs would all be alike. */
export function bitsOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
