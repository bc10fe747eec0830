/**
 * Counter-based random numbers: every value is a pure function of a key and a counter, so nothing has to be replayed
 * after a restart, and the order of calls does not matter. Not for secrets.
 */
export interface RandomKey {
  readonly low: number;
  readonly high: number;
}

/** The key that belongs to these parts; numbers are taken as unsigned 32-bit integers. */
export function randomKey(...parts: readonly (number | string)[]): RandomKey {
  let low = 0x243f6a88; // digits of π: any constants do, they only have to differ
  let high = 0x85a308d3;
  const absorb = (word: number) => {
    low = mix(low ^ word);
    high = mix((high + word) ^ low);
  };
  for (const part of parts) {
    if (typeof part === "number") absorb(part >>> 0);
    else for (let i = 0; i < part.length; i++) absorb(part.charCodeAt(i) + 1);
    absorb(typeof part === "number" ? 0 : part.length); // keeps ("a", "b") and ("ab") apart
  }
  return { low: low >>> 0, high: high >>> 0 };
}

/** An integer uniform in [0, 2³²). */
export function randomUint32({ low, high }: RandomKey, counter: number): number {
  return mix(mix(counter ^ low) + high) >>> 0;
}

/** A number uniform in [0, 1), a multiple of 2⁻³². */
export function randomUnit(key: RandomKey, counter: number): number {
  return randomUint32(key, counter) * 2 ** -32;
}

/** A standard normal number (Box & Muller 1958). */
export function randomNormal(key: RandomKey, counter: number): number {
  const radius = Math.sqrt(-2 * Math.log(1 - randomUnit(key, 2 * counter)));
  return radius * Math.cos(2 * Math.PI * randomUnit(key, 2 * counter + 1));
}

/** The bijection `lowbias32` of https://github.com/skeeto/hash-prospector (public domain). */
function mix(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return x ^ (x >>> 16);
}
