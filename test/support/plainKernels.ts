/** What shared/kernels does, in plain JavaScript: the oracle of its tests. Vectors are float32, results have the same bits. */

const quietNaN = 0x7fc00000;

export function add(target: Float32Array, source: Float32Array): Float32Array {
  return target.map((value, index) => Math.fround(value + source[index]!));
}

export function settleNaNs(values: Float32Array): Float32Array {
  const bits = new Uint32Array(values.slice().buffer);
  for (const [index, value] of values.entries()) if (Number.isNaN(value)) bits[index] = quietNaN;
  return new Float32Array(bits.buffer);
}

/** Rounds to nearest even; every NaN becomes 0x7fc0. */
export function encodeBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.slice().buffer);
  return Uint16Array.from(bits, (word, index) => {
    if (Number.isNaN(values[index])) return quietNaN >>> 16;
    const remainder = word & 0xffff;
    const up = remainder > 0x8000 || (remainder === 0x8000 && (word & 0x10000) !== 0);
    return (word >>> 16) + (up ? 1 : 0);
  });
}

export function decodeBfloat16(values: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(values, (value) => value << 16).buffer);
}

/** The sum over slots: in slot order within groups, then in group order, NaNs all the same. */
export function sumSlots(slots: readonly Float32Array[], groupSize: number): Float32Array {
  const groups: Float32Array[] = [];
  for (let first = 0; first < slots.length; first += groupSize) {
    groups.push(slots.slice(first, first + groupSize).reduce(add));
  }
  return settleNaNs(groups.reduce(add));
}

/** The same when slots travel as bfloat16, and so does their sum. */
export function sumSlotsInBfloat16(slots: readonly Float32Array[], groupSize: number): Float32Array {
  const round = (values: Float32Array) => decodeBfloat16(encodeBfloat16(values));
  return round(sumSlots(slots.map(round), groupSize));
}

const mask = (1n << 64n) - 1n;

/** Sums of 64-bit words in four lanes, sums of those sums, and what is left at the end, stirred together. */
export function checksum(bytes: Uint8Array): bigint {
  const wide = bytes.length & -32;
  const words = new BigUint64Array(bytes.slice(0, wide).buffer);
  const sum = [0n, 0n, 0n, 0n];
  const sums = [0n, 0n, 0n, 0n];
  for (const [index, word] of words.entries()) {
    const lane = index % 4;
    sum[lane] = (sum[lane]! + (word ^ (word >> 32n))) & mask;
    sums[lane] = (sums[lane]! + sum[lane]!) & mask;
  }
  let hash = BigInt(bytes.length);
  for (const word of [...sum, ...sums, ...Array.from(bytes.subarray(wide), BigInt)]) {
    const mixed = hash ^ ((word * 0xc2b2ae3d27d4eb4fn) & mask);
    const turned = ((mixed << 31n) | (mixed >> 33n)) & mask;
    hash = (turned * 0x9e3779b185ebca87n) & mask;
  }
  return hash ^ (hash >> 32n);
}
