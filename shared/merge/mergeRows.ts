import type { LoraModule } from "../checkpoint/loraModules.ts";

/**
 * Adds scale · up · down to rows of a weight [out, in], in place: `values` holds the rows from `firstRow` on. Sums are
 * float64 and rounded to float32 once per element. With DoRA each row then gets the length that was trained for it.
 */
export function mergeRows(values: Float32Array, firstRow: number, { down, magnitude, scale, up }: LoraModule): void {
  const [rank, width] = down.shape as [number, number];
  const sums = new Float64Array(width);
  for (let at = 0, row = firstRow; at < values.length; at += width, row++) {
    const target = values.subarray(at, at + width);
    sums.set(target);
    for (let k = 0; k < rank; k++) {
      const factor = scale * up.data[row * rank + k]!;
      const source = down.data.subarray(k * width, (k + 1) * width);
      for (let column = 0; column < width; column++) sums[column]! += factor * source[column]!;
    }
    if (magnitude) {
      const length = Math.sqrt(sums.reduce((total, value) => total + value * value, 0));
      const stretch = length === 0 ? 0 : magnitude.data[row]! / length;
      for (let column = 0; column < width; column++) sums[column]! *= stretch;
    }
    target.set(sums);
  }
}
