import { createPermutation } from "../../shared/dataset/permutation.ts";

/** No epoch has this number, so the hold-out is drawn apart from the order of the data. */
const holdOutStream = 2 ** 32 - 1;

/**
 * The samples to hold out, ascending: a fraction of all or, from 1 on, so many. A seeded draw without replacement that
 * depends on its arguments alone, so a resumed run holds out the same. At least one sample is held out where there are
 * two, and at least one stays for training. What `maxEvalSamples` leaves of them goes to training.
 */
export function holdOut(
  samples: number,
  fraction: number,
  seed: number,
  maxEvalSamples = Number.POSITIVE_INFINITY,
): number[] {
  const size = holdOutSize(samples, fraction, maxEvalSamples);
  const order = createPermutation(samples, seed, holdOutStream);
  return Array.from({ length: size }, (_, index) => order(index)).sort((a, b) => a - b);
}

function holdOutSize(samples: number, fraction: number, maxEvalSamples: number): number {
  if (fraction <= 0 || samples < 2) return 0;
  const wanted = fraction < 1 ? Math.max(Math.round(samples * fraction), 1) : fraction;
  return Math.min(wanted, samples - 1, maxEvalSamples);
}

/** How many samples are enough to have `maxTrainSamples` of them left when some are held out; infinite without a limit. */
export function samplesNeeded(
  maxTrainSamples: number | undefined,
  fraction: number,
  maxEvalSamples = Number.POSITIVE_INFINITY,
): number {
  if (maxTrainSamples === undefined) return Number.POSITIVE_INFINITY;
  let samples = maxTrainSamples;
  for (;;) {
    const missing = maxTrainSamples - (samples - holdOutSize(samples, fraction, maxEvalSamples));
    if (missing <= 0) return samples;
    samples += missing;
  }
}
