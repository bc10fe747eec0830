/** Sizes of the element types that the safetensors format knows, in bits (safetensors/src/tensor.rs, `Dtype`). */
const bitsByDtype = new Map<string, number>([
  ["F4", 4],
  ["F6_E2M3", 6],
  ["F6_E3M2", 6],
  ["BOOL", 8],
  ["U8", 8],
  ["I8", 8],
  ["F8_E5M2", 8],
  ["F8_E4M3", 8],
  ["F8_E8M0", 8],
  ["F8_E4M3FNUZ", 8],
  ["F8_E5M2FNUZ", 8],
  ["I16", 16],
  ["U16", 16],
  ["F16", 16],
  ["BF16", 16],
  ["I32", 32],
  ["U32", 32],
  ["F32", 32],
  ["F64", 64],
  ["I64", 64],
  ["U64", 64],
  ["C64", 64],
]);

/** Bits per element, or undefined for an unknown element type. */
export function bitsPerElement(dtype: string): number | undefined {
  return bitsByDtype.get(dtype);
}

/** Writes `source`, little-endian values of one of the widenable types, into `target` as float32, exactly. */
export type Widen = (source: Uint8Array, target: Float32Array) => void;

/** How to widen an element type to float32; undefined where that is not exact. F32 needs no widening. */
export function widenerOf(dtype: string): Widen | undefined {
  if (dtype === "BF16") return (source, target) => widen16(source, target, (bits) => bits << 16);
  if (dtype === "F16") {
    const table = halfTable();
    return (source, target) => widen16(source, target, (bits) => table[bits]!);
  }
  return undefined;
}

/** Goes through a uint32 view so that the payload of a NaN survives. */
function widen16(source: Uint8Array, target: Float32Array, toFloat32Bits: (bits: number) => number): void {
  const out = new Uint32Array(target.buffer, target.byteOffset, target.length);
  for (let index = 0; index < out.length; index++) {
    out[index] = toFloat32Bits(source[2 * index]! | (source[2 * index + 1]! << 8));
  }
}

let halves: Uint32Array | undefined;

/** float32 bits of each of the 65536 binary16 values (IEEE 754-2019, 3.6). */
function halfTable(): Uint32Array {
  if (halves) return halves;
  const table = new Uint32Array(65536);
  const value = new Float32Array(1);
  const valueBits = new Uint32Array(value.buffer);
  for (let half = 0; half < 65536; half++) {
    const sign = (half & 0x8000) << 16;
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0) {
      value[0] = fraction * 2 ** -24; // zero or subnormal, exact in float32
      table[half] = sign | valueBits[0]!;
    } else if (exponent === 31) {
      table[half] = sign | 0x7f800000 | (fraction << 13);
    } else {
      table[half] = sign | ((exponent + 112) << 23) | (fraction << 13);
    }
  }
  halves = table;
  return table;
}
