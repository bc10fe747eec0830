/** A bijection of the integers below `size`. */
export type Permutation = (index: number) => number;

const rounds = 8;

/**
 * The order of one epoch: a bijective permutation of 0 … size-1 that depends on (seed, stream) alone and needs no
 * memory. A balanced Feistel network over the smallest even number of bits that holds `size`; values outside are walked
 * along their cycle until they fall inside (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). The
 * domain is less than four times `size`, so a look-up takes fewer than four walks on average.
 * `size` is at most 2^32, `seed` and `stream` are integers below 2^32.
 */
export function createPermutation(size: number, seed: number, stream: number): Permutation {
  if (!Number.isSafeInteger(size) || size < 0 || size > 2 ** 32) {
    throw new RangeError(`A permutation needs a size of 0 to 2^32, not ${size}.`);
  }
  let halfBits = 1;
  while (4 ** halfBits < size) halfBits++;
  const base = 2 ** halfBits;
  const mask = base - 1;
  const keys = Array.from({ length: rounds }, (_, round) => mix(mix(mix(seed) ^ stream) ^ (round + 1)));

  const encrypt = (value: number): number => {
    // Division, not shifts: the domain may exceed the 32 bits of JavaScript's bitwise operators.
    let left = Math.floor(value / base);
    let right = value % base;
    for (const key of keys) [left, right] = [right, left ^ (mix(right ^ key) & mask)];
    return left * base + right;
  };

  return (index) => {
    if (!(index >= 0 && index < size)) throw new RangeError(`Index ${index} is not below the size ${size}.`);
    let value = encrypt(index);
    while (value >= size) value = encrypt(value);
    return value;
  };
}

/** The 32-bit finalizer of MurmurHash3: every input bit changes each output bit with probability near one half. */
function mix(value: number): number {
  let hash = (value + 0x9e3779b9) | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
