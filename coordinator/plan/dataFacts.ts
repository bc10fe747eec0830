import { packSamples } from "../../shared/dataset/packing.ts";

/** What a plan knows of a data set. */
export interface DataFacts {
  /** Rows of an epoch: samples, or rows of packed ones. */
  readonly trainSize: number;
  readonly evaluationSize: number;
  /** Mean of the rows. */
  readonly tokensPerSample?: number;
  /** Tokens of the longest row that was looked at. */
  readonly longest?: number;
  /** Token counts of rows that stand for all, in ascending order; how much of a batch is padding follows from them. */
  readonly lengths?: readonly number[];
  /** How it is known: counted, estimated from a sample of the rows, or given by the user. */
  readonly source: DataSource;
}

export type DataSource =
  /** The token cache has the samples. */
  | { readonly kind: "cache" }
  /** All rows were counted, and some of them tokenized. */
  | { readonly kind: "sample"; readonly rows: number; readonly sampled: number; readonly standardError: number }
  /** --samples. */
  | { readonly kind: "given" };

/** What tokenizing some rows has shown. */
export interface RowSample {
  /** Rows of the whole data set. */
  readonly rows: number;
  /** Tokens of each sampled row that gives a sample. */
  readonly lengths: readonly number[];
  /** Sampled rows that give none: nothing to learn, or all of it cut away. */
  readonly dropped: number;
}

/** Rows of `capacity` tokens that `samples` samples make when they are packed, given the lengths of some of them. */
export function estimatePacked(lengths: readonly number[], samples: number, capacity: number) {
  const rows = packSamples(lengths, capacity).starts.length - 1;
  const tokens = lengths.reduce((total, length) => total + length, 0);
  return {
    trainSize: Math.ceil((samples * rows) / Math.max(1, lengths.length)),
    tokensPerSample: tokens / Math.max(1, rows),
    longest: capacity,
    // Rows are filled to about the same length.
    lengths: [],
  };
}

/** Lengths that are kept of a large data set. */
const keptLengths = 1000;

/** Some of the lengths, in ascending order, spread evenly over all of them. */
export function spreadLengths(lengths: readonly number[]): number[] {
  const sorted = [...lengths].sort((a, b) => a - b);
  if (sorted.length <= keptLengths) return sorted;
  return Array.from(
    { length: keptLengths },
    (_, at) => sorted[Math.floor(((at + 0.5) * sorted.length) / keptLengths)]!,
  );
}

/**
 * How many times as many tokens a micro-batch computes as its samples have, because each is padded to the longest:
 * the expected maximum of `batch` of the lengths (ascending), drawn independently, over their mean.
 */
export function paddingFactor(lengths: readonly number[], batch: number): number {
  const count = lengths.length;
  const mean = lengths.reduce((total, length) => total + length, 0) / count;
  if (!(mean > 0)) return 1;
  // P(maximum ≤ the k-th smallest) = (k / count)^batch.
  const maximum = lengths.reduce(
    (total, length, at) => total + length * (((at + 1) / count) ** batch - (at / count) ** batch),
    0,
  );
  return maximum / mean;
}

/** Carries what holds for the sampled rows over to all of them. */
export function estimateSamples({ rows, lengths, dropped }: RowSample) {
  const sampled = lengths.length + dropped;
  const mean = lengths.reduce((total, length) => total + length, 0) / Math.max(1, lengths.length);
  const variance = lengths.reduce((total, length) => total + (length - mean) ** 2, 0) / Math.max(1, lengths.length - 1);
  return {
    samples: sampled === 0 ? 0 : Math.round((rows * lengths.length) / sampled),
    tokensPerSample: mean,
    longest: lengths.reduce((longest, length) => Math.max(longest, length), 0),
    lengths: spreadLengths(lengths),
    source: {
      kind: "sample",
      rows,
      sampled,
      standardError: sampled === rows ? 0 : Math.sqrt(variance / Math.max(1, lengths.length)),
    } as const,
  };
}
