/** How a vector's blocks are gone through in shared memory: bucket by bucket, each with a place in every region. */
export interface Buckets {
  readonly blocks: number;
  /** Blocks of a bucket; the last may have fewer. */
  readonly perBucket: number;
  readonly count: number;
  /** True when everybody sums everything: a barrier less, which for a short vector is worth more than the work. */
  readonly everybodySums: boolean;
  /** Messages that each member sends. */
  readonly stages: number;
}

/** Buckets that a region holds at once: one being read, one being summed, one being written. */
export const bucketsHeld = 3;

/** Blocks of a bucket at most, and of a vector that everybody sums by himself. */
const maxPerBucket = 64;
const maxForEverybody = 1;

/** Cuts `blocks` blocks into buckets whose regions take no more than `budgetBytes`; undefined where not one block fits. */
export function planBuckets(size: {
  readonly blocks: number;
  /** Bytes of a block in a region. */
  readonly blockBytes: number;
  readonly slots: number;
  readonly budgetBytes: number;
  readonly maxPerBucket?: number;
}): Buckets | undefined {
  const blocks = Math.max(1, size.blocks);
  const affordable = Math.floor(size.budgetBytes / ((size.slots + 1) * bucketsHeld * size.blockBytes));
  const perBucket = Math.min(size.maxPerBucket ?? maxPerBucket, affordable, blocks);
  if (perBucket < 1) return undefined;
  const count = Math.ceil(blocks / perBucket);
  const everybodySums = blocks <= maxForEverybody;
  return { blocks, perBucket, count, everybodySums, stages: everybodySums ? 1 : count + 1 };
}

/** Blocks from `first` up to but not including `end`. */
export interface BlockRange {
  readonly first: number;
  readonly end: number;
}

export function bucketRange({ blocks, perBucket }: Buckets, bucket: number): BlockRange {
  return { first: bucket * perBucket, end: Math.min((bucket + 1) * perBucket, blocks) };
}

/** The blocks of a bucket that a rank sums: all, or neighbouring ones, their numbers differing by one at most. */
export function shareOf(buckets: Buckets, bucket: number, rank: number, worldSize: number): BlockRange {
  const { end, first } = bucketRange(buckets, bucket);
  if (buckets.everybodySums) return { first, end };
  const cut = (at: number) => first + Math.floor((at * (end - first)) / worldSize);
  return { first: cut(rank), end: cut(rank + 1) };
}
