import { packSamples } from "./packing.ts";
import { createPermutation } from "./permutation.ts";

/** What an epoch reads, row by row: a row is a training sample, or several packed into one. */
export interface TrainingRows {
  /** Rows of an epoch. */
  readonly size: number;
  /** Numbers of the training samples in a row. */
  samplesOf(row: number): readonly number[];
  /** Tokens of a row. */
  lengthOf(row: number): number;
}

export interface RowOptions {
  /** Tokens of each training sample. */
  readonly lengths: Uint32Array;
  /** How many training samples each part of the data set has, in their order. */
  readonly parts: readonly number[];
  /** How often an epoch reads each part; none where it reads each once. */
  readonly weights: readonly number[];
  /** Tokens of a full row, where samples are packed. */
  readonly packTo?: number | undefined;
  readonly seed: number;
}

/** Arranges the samples of an epoch into rows: a pure function of its arguments. */
export function arrangeRows({ lengths, packTo, parts, seed, weights }: RowOptions): TrainingRows {
  const chosen = weights.some((weight) => weight !== 1) ? weigh(parts, weights, seed) : undefined;
  const sampleAt = (index: number) => (chosen ? chosen[index]! : index);
  const size = chosen?.length ?? lengths.length;
  if (packTo === undefined) {
    return { size, samplesOf: (row) => [sampleAt(row)], lengthOf: (row) => lengths[sampleAt(row)]! };
  }
  const { members, starts } = packSamples(chosen ? chosen.map((sample) => lengths[sample]!) : lengths, packTo);
  const samplesOf = (row: number) => Array.from(members.subarray(starts[row], starts[row + 1]), sampleAt);
  return {
    size: starts.length - 1,
    samplesOf,
    lengthOf: (row) => samplesOf(row).reduce((total, sample) => total + lengths[sample]!, 0),
  };
}

/** Beside the epochs' numbers, which count up from 0, and that of the hold-out. */
const firstPartStream = 2 ** 31;

/**
 * The samples that an epoch reads: all of a part as often as the whole of its weight says, and for what is left of the
 * weight that share of the part, drawn by the seed.
 */
function weigh(parts: readonly number[], weights: readonly number[], seed: number): Uint32Array {
  const chosen: number[] = [];
  let first = 0;
  for (const [part, size] of parts.entries()) {
    const weight = weights[part] ?? 1;
    const whole = Math.floor(weight);
    for (let index = 0; index < size; index++) for (let time = 0; time < whole; time++) chosen.push(first + index);
    const order = createPermutation(size, seed, firstPartStream + part);
    const share = Math.min(size, Math.round((weight - whole) * size));
    const drawn = Array.from({ length: share }, (_, index) => first + order(index)).sort((a, b) => a - b);
    for (const sample of drawn) chosen.push(sample);
    first += size;
  }
  return Uint32Array.from(chosen);
}
