import type { LoraModule } from "../checkpoint/loraModules.ts";

/**
 * Adds scale · up · down to rows of a weight [out, in], in place: `values` holds the rows from `firstRow` on. Sums are
 * float64 and rounded to float32 once per element.
 */
export function mergeRows(values: Float32Array, firstRow: number, { down, scale, up }: LoraModule): void {
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
    target.set(sums);
  }
}
