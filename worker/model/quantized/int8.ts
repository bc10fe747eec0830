import type { QuantizedWeight } from "./quantizedWeight.ts";

/** Bytes of a matrix in 8 bits: one per element, and a float32 for each row. */
export const int8Bytes = (rows: number, columns: number): number => rows * columns + 4 * rows;

/**
 * Each row becomes its largest magnitude m and whole numbers from −127 to 127 in units of m / 127: the weights of
 * LLM.int8 (Dettmers et al. 2022), without outliers, because activations stay float32 here.
 */
export function quantizeInt8(values: Float32Array, columns: number): QuantizedWeight {
  const codes = new Int8Array(values.length);
  const units = new Float32Array(values.length / columns);
  for (let row = 0; row < units.length; row++) {
    const start = row * columns;
    let largest = 0;
    for (let at = start; at < start + columns; at++) largest = Math.max(largest, Math.abs(values[at]!));
    units[row] = largest / 127;
    const inverse = largest === 0 ? 0 : 127 / largest;
    for (let at = start; at < start + columns; at++) codes[at] = Math.round(values[at]! * inverse);
  }
  return {
    bytes: codes.byteLength + units.byteLength,
    widen(target) {
      for (let row = 0; row < units.length; row++) {
        const unit = units[row]!;
        for (let at = row * columns; at < (row + 1) * columns; at++) target[at] = codes[at]! * unit;
      }
    },
  };
}
