import type { QuantizedWeight } from "./quantizedWeight.ts";

/** Elements that share a scale, as in QLoRA and bitsandbytes. */
export const nf4Block = 64;

/** NormalFloat4 (Dettmers et al. 2023, appendix E): quantiles of the normal distribution, scaled to [−1, 1]. */
export const nf4Levels: Float32Array = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);

/** Bytes of `elements` values in NF4: half a byte each, and a float32 for each block. */
export const nf4Bytes = (elements: number): number => Math.ceil(elements / 2) + 4 * Math.ceil(elements / nf4Block);

/**
 * Each block of 64 values, in row-major order, becomes its largest magnitude and, for each value, the nearest level of
 * value / magnitude; the first value of a pair is in the upper half of the byte, as bitsandbytes has it.
 */
export function quantizeNf4(values: Float32Array): QuantizedWeight {
  const codes = new Uint8Array(Math.ceil(values.length / 2));
  const scales = new Float32Array(Math.ceil(values.length / nf4Block));
  for (let block = 0; block < scales.length; block++) {
    const start = block * nf4Block;
    const end = Math.min(start + nf4Block, values.length);
    const largest = largestMagnitude(values, start, end);
    scales[block] = largest;
    const inverse = largest === 0 ? 0 : 1 / largest;
    for (let at = start; at < end; at += 2) {
      const second = at + 1 < end ? nearestLevel(values[at + 1]! * inverse) : 0;
      codes[at >> 1] = (nearestLevel(values[at]! * inverse) << 4) | second;
    }
  }
  return {
    bytes: codes.byteLength + scales.byteLength,
    widen(target) {
      const scaled = new Float32Array(16);
      for (let block = 0; block < scales.length; block++) {
        const scale = scales[block]!;
        for (let level = 0; level < 16; level++) scaled[level] = nf4Levels[level]! * scale;
        const start = block * nf4Block;
        const end = Math.min(start + nf4Block, target.length);
        for (let at = start; at < end; at += 2) {
          const code = codes[at >> 1]!;
          target[at] = scaled[code >> 4]!;
          if (at + 1 < end) target[at + 1] = scaled[code & 15]!;
        }
      }
    },
  };
}

function largestMagnitude(values: Float32Array, start: number, end: number): number {
  let largest = 0;
  for (let at = start; at < end; at++) {
    const magnitude = Math.abs(values[at]!);
    if (magnitude > largest) largest = magnitude;
  }
  return largest;
}

/** Halfway between neighbouring levels. */
const borders = Float64Array.from({ length: 15 }, (_, at) => (nf4Levels[at]! + nf4Levels[at + 1]!) / 2);

/** Narrower than the smallest distance of two borders, so that at most one lies in each. */
const bucketsPerUnit = 1024;
/** The level of each bucket's lower end. */
const levelOfBucket = Uint8Array.from({ length: 2 * bucketsPerUnit + 1 }, (_, bucket) => {
  const value = bucket / bucketsPerUnit - 1;
  return borders.filter((border) => value > border).length;
});

function nearestLevel(value: number): number {
  const level = levelOfBucket[((value + 1) * bucketsPerUnit) | 0]!;
  return level < 15 && value > borders[level]! ? level + 1 : level;
}
