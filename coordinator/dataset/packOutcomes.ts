import type { Dropped, EncodedSample } from "../../shared/dataset/encodeSample.ts";
import type { FailedRow, Outcome } from "./encoder.ts";

/** Outcomes with the tokens of all samples one after the other: two buffers to move to another thread, however many rows. */
export interface PackedOutcomes {
  readonly ids: Uint32Array<ArrayBuffer>;
  readonly masks: Uint8Array<ArrayBuffer>;
  readonly outcomes: readonly (Dropped | FailedRow | PackedSample)[];
}

interface PackedSample {
  readonly tokens: number;
  readonly cutTokens: number;
}

export function packOutcomes(outcomes: readonly Outcome[]): PackedOutcomes {
  const samples = outcomes.filter((one): one is EncodedSample => typeof one === "object" && "ids" in one);
  const total = samples.reduce((sum, { ids }) => sum + ids.length, 0);
  const ids = new Uint32Array(total);
  const masks = new Uint8Array(total);
  let at = 0;
  for (const sample of samples) {
    ids.set(sample.ids, at);
    masks.set(sample.mask, at);
    at += sample.ids.length;
  }
  const packed = outcomes.map((one) =>
    typeof one === "object" && "ids" in one ? { tokens: one.ids.length, cutTokens: one.cutTokens } : one,
  );
  return { ids, masks, outcomes: packed };
}

export function unpackOutcomes({ ids, masks, outcomes }: PackedOutcomes): Outcome[] {
  let at = 0;
  return outcomes.map((one) => {
    if (typeof one === "string" || "problem" in one) return one;
    const end = at + one.tokens;
    const sample = { ids: ids.subarray(at, end), mask: masks.subarray(at, end), cutTokens: one.cutTokens };
    at = end;
    return sample;
  });
}
