import type { Batch } from "../engine/engine.ts";

/** A tokenized sample. */
export interface Sample {
  readonly inputIds: Uint32Array;
  /** 1 where the token is a label. */
  readonly labelMask: Uint8Array;
}

/** Token that fills up short samples; any valid id will do, because its labels are masked. */
const padding = 0;

/** Label that does not count, as in PyTorch's cross_entropy. */
const ignored = -100;

/** Puts samples side by side, right-padded to the longest: `[batch, sequence]`. */
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
  return { batch, sequence, inputIds, labels };
}
