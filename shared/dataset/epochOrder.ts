import { randomKey, randomUint32 } from "../rng.ts";
import { createPermutation } from "./permutation.ts";
import { globalBatch, type SamplePlan, type SlotShare, slotPlaces } from "./plan.ts";

/** From a place in an epoch to the row that is read there. */
export type EpochOrder = (place: number) => number;

/** Steps whose rows are sorted together when rows are grouped by length: HuggingFace's LengthGroupedSampler has as many. */
const stepsPerGroup = 50;

/**
 * The order in which an epoch reads its rows: a bijection of the numbers below `plan.datasetSize`. With `lengthOf`, the
 * rows of fifty steps at a time are sorted by length and cut into steps, whose order is then drawn, so that a step has
 * rows of about the same length. A pure function of its arguments.
 */
export function epochOrder(plan: SamplePlan, epoch: number, lengthOf?: (row: number) => number): EpochOrder {
  const shuffled = createPermutation(plan.datasetSize, plan.seed, epoch);
  if (!lengthOf) return shuffled;
  const step = globalBatch(plan);
  // As HuggingFace: a small data set has four groups, or it would be sorted as a whole.
  const steps = Math.max(1, Math.min(stepsPerGroup, Math.floor(plan.datasetSize / (4 * step))));
  let last: { group: number; rows: Uint32Array } | undefined;
  return (place) => {
    if (!(place >= 0 && place < plan.datasetSize)) {
      throw new RangeError(`Place ${place} is not below the size ${plan.datasetSize}.`);
    }
    const group = Math.floor(place / (steps * step));
    if (last?.group !== group) {
      last = { group, rows: groupRows(plan, epoch, { group, size: steps * step, step }, shuffled, lengthOf) };
    }
    return last.rows[place - group * steps * step]!;
  };
}

/**
 * The rows that slot `slot` (from 0) reads at step `step` (from 1), as micro-batches of row numbers: what a run reads is
 * a pure function of (seed, epoch, step, slot, size) and, where they matter, lengths. No sampler has a state.
 */
export function slotRows(plan: SamplePlan, step: number, slot: number, lengthOf?: (row: number) => number): SlotShare {
  const { epoch, microBatches } = slotPlaces(plan, step, slot);
  const order = epochOrder(plan, epoch, lengthOf);
  return { epoch, microBatches: microBatches.map((places) => places.map(order)) };
}

interface Group {
  readonly group: number;
  readonly size: number;
  readonly step: number;
}

function groupRows(
  plan: SamplePlan,
  epoch: number,
  { group, size, step }: Group,
  shuffled: EpochOrder,
  lengthOf: (row: number) => number,
): Uint32Array {
  const first = group * size;
  const count = Math.min(size, plan.datasetSize - first);
  const sorted = Array.from({ length: count }, (_, index) => shuffled(first + index))
    .map((row) => ({ row, length: lengthOf(row) }))
    .sort((a, b) => b.length - a.length || a.row - b.row);
  // A short step can only be an epoch's last.
  const full = Math.floor(count / step);
  const drawn = createPermutation(full, randomUint32(randomKey("length groups", plan.seed, epoch), group), 0);
  const rows = new Uint32Array(count);
  for (let at = 0; at < count; at++) {
    const from = Math.floor(at / step);
    rows[at] = sorted[(from < full ? drawn(from) : from) * step + (at % step)]!.row;
  }
  return rows;
}
