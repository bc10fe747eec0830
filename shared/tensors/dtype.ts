import { bytesOfFloat32 } from "./bytes.ts";

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
  if (source.byteOffset % 2 === 0 && littleEndian) {
    const halfWords = new Uint16Array(source.buffer, source.byteOffset, out.length);
    for (let index = 0; index < out.length; index++) out[index] = toFloat32Bits(halfWords[index]!);
    return;
  }
  for (let index = 0; index < out.length; index++) {
    out[index] = toFloat32Bits(source[2 * index]! | (source[2 * index + 1]! << 8));
  }
}

const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

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

/** Writes float32 `source` into `target` as little-endian values of another type, rounded to nearest, ties to even. */
export type Narrow = (source: Float32Array, target: Uint8Array) => void;

/** How to write float32 values as F32, F16 or BF16; undefined for other element types. */
export function narrowerOf(dtype: string): Narrow | undefined {
  if (dtype === "F32") return (source, target) => target.set(bytesOfFloat32(source));
  if (dtype === "BF16") return (source, target) => narrow16(source, target, toBfloat);
  if (dtype === "F16") return (source, target) => narrow16(source, target, toHalf);
  return undefined;
}

function narrow16(source: Float32Array, target: Uint8Array, toBits: (bits: number) => number): void {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length);
  for (let index = 0; index < bits.length; index++) {
    const narrowed = toBits(bits[index]!);
    target[2 * index] = narrowed & 0xff;
    target[2 * index + 1] = narrowed >>> 8;
  }
}

function toBfloat(bits: number): number {
  // A NaN whose payload lies in the lower half would become infinite by cutting, and something else by rounding.
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

function toHalf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520 and above round to infinity
  if (magnitude >= 0x38800000) return sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x38000000) >>> 13);
  // Below 2^-14: a whole number of units of 2^-24.
  scratchBits[0] = magnitude;
  const units = scratch[0]! * 2 ** 24;
  const whole = Math.floor(units);
  const rest = units - whole;
  return sign | (rest > 0.5 || (rest === 0.5 && whole % 2 === 1) ? whole + 1 : whole);
}

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);
