import type { Batch } from "../engine/engine.ts";

/** A row of a batch: one tokenized sample, or several packed one after the other. */
export interface Sample {
  readonly inputIds: Uint32Array;
  /** 1 where the token is a label. */
  readonly labelMask: Uint8Array;
  /** Tokens of each packed sample; none where the row is one sample. */
  readonly lengths?: readonly number[] | undefined;
}

/** Token that fills up short samples; any valid id will do, because its labels are masked. */
const padding = 0;

/** Label that does not count, as in PyTorch's cross_entropy. */
const ignored = -100;

/** Puts rows side by side, right-padded to the longest: `[batch, sequence]`. */
export function collate(samples: readonly Sample[]): Batch {
  const batch = samples.length;
  const sequence = Math.max(...samples.map((sample) => sample.inputIds.length));
  const inputIds = new Int32Array(batch * sequence).fill(padding);
  const labels = new Int32Array(batch * sequence).fill(ignored);
  samples.forEach((sample, row) => {
    inputIds.set(sample.inputIds, row * sequence);
    sample.inputIds.forEach((id, column) => {
      if (sample.labelMask[column] === 1) labels[row * sequence + column] = id;
    });
  });
  if (samples.every(({ lengths = [] }) => lengths.length < 2)) return { batch, sequence, inputIds, labels };
  return { batch, sequence, inputIds, labels, segments: segmentsOf(samples, sequence) };
}

/** The number of each token's sample in its row; padding is a sample of its own. */
function segmentsOf(samples: readonly Sample[], sequence: number): Int32Array {
  const segments = new Int32Array(samples.length * sequence);
  samples.forEach(({ inputIds, lengths = [inputIds.length] }, row) => {
    let at = row * sequence;
    for (const [segment, length] of lengths.entries()) {
      segments.fill(segment, at, at + length);
      at += length;
    }
    segments.fill(lengths.length, at, (row + 1) * sequence);
  });
  return segments;
}
