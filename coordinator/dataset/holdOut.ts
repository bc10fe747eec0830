import { createPermutation } from "../../shared/dataset/permutation.ts";

/** No epoch has this number, so the hold-out is drawn apart from the order of the data. */
const holdOutStream = 2 ** 32 - 1;

/**
 * The samples to hold out, ascending: a seeded draw without replacement that depends on its arguments alone, so a resumed
 * run holds out the same. At least one sample is held out where there are two, and at least one stays for training.
 */
export function holdOut(samples: number, fraction: number, seed: number): number[] {
  if (fraction <= 0 || samples < 2) return [];
  const size = Math.min(Math.max(Math.round(samples * fraction), 1), samples - 1);
  const order = createPermutation(samples, seed, holdOutStream);
  return Array.from({ length: size }, (_, index) => order(index)).sort((a, b) => a - b);
}
