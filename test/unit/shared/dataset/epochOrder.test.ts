import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { slotsOf } from "../../../../coordinator/membership/slotMapping.ts";
import { epochOrder, slotRows } from "../../../../shared/dataset/epochOrder.ts";
import { type SamplePlan, stepsPerEpoch, totalSteps } from "../../../../shared/dataset/plan.ts";
import { arrangeRows } from "../../../../shared/dataset/trainingRows.ts";
import { randomKey, randomUint32 } from "../../../../shared/rng.ts";

/** A run that is killed and goes on with other workers, as often as it likes. */
const anyRun = fc.record({
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  samples: fc.integer({ min: 1, max: 90 }),
  slots: fc.integer({ min: 1, max: 9 }),
  microBatch: fc.integer({ min: 1, max: 4 }),
  accumulation: fc.integer({ min: 1, max: 4 }),
  epochs: fc.constantFrom(0.3, 1, 1.5, 2, 3),
  rows: fc.constantFrom("plain", "packed", "grouped", "weighted"),
  /** Before which steps a kill strikes, after how many slots, and how many workers there are from then on. */
  kills: fc.array(
    fc.record({
      step: fc.integer({ min: 1, max: 60 }),
      afterSlots: fc.integer({ min: 0, max: 9 }),
      workers: fc.integer({ min: 1, max: 9 }),
    }),
    { maxLength: 6 },
  ),
});

type Run = typeof anyRun extends fc.Arbitrary<infer Value> ? Value : never;

function rowsOf({ rows, samples, seed }: Run) {
  const lengths = Uint32Array.from({ length: samples }, (_, index) => 1 + (randomUint32(randomKey(seed), index) % 40));
  const parts = [Math.floor(samples / 3), samples - Math.floor(samples / 3)];
  const weights = rows === "weighted" ? [2, 1] : [];
  return {
    parts,
    arranged: arrangeRows({ lengths, parts, weights, seed, packTo: rows === "packed" ? 64 : undefined }),
  };
}

/** Takes the steps of a run one by one; what is kept of a step that a kill strikes is nothing, as in a run. */
function committedRows(run: Run, plan: SamplePlan, lengthOf?: (row: number) => number): number[][] {
  const committed: number[][] = [];
  const kills = [...run.kills];
  let workers = 1 + (run.seed % 4);
  const steps = totalSteps(plan, run.epochs, -1);
  for (let step = 1; step <= steps; ) {
    const kill = kills.findIndex((one) => one.step === step);
    const strikes = kill < 0 ? undefined : kills.splice(kill, 1)[0];
    const read = new Map<number, number[]>();
    for (let rank = 0; rank < workers; rank++) {
      for (const slot of slotsOf(rank, workers, plan.slots)) {
        if (strikes && read.size === strikes.afterSlots) continue;
        read.set(slot, slotRows(plan, step, slot, lengthOf).microBatches.flat());
      }
    }
    if (strikes) {
      workers = strikes.workers;
      continue;
    }
    if (read.size !== plan.slots) throw new Error(`step ${step} was committed with ${read.size} slots`);
    committed.push(Array.from({ length: plan.slots }, (_, slot) => read.get(slot)!).flat());
    step++;
  }
  return committed;
}

describe("a run", () => {
  it("reads each row exactly once per epoch, whatever its sizes, its kills and its changes of the number of workers", () => {
    fc.assert(
      fc.property(anyRun, (run) => {
        const { arranged, parts } = rowsOf(run);
        const plan: SamplePlan = { ...run, datasetSize: arranged.size };
        const committed = committedRows(run, plan, run.rows === "grouped" ? arranged.lengthOf : undefined);
        const perEpoch = stepsPerEpoch(plan);
        for (let start = 0; start < committed.length; start += perEpoch) {
          const steps = committed.slice(start, start + perEpoch);
          const read = steps.flat().flatMap((row) => arranged.samplesOf(row));
          const expected = [...Array(run.samples).keys()].flatMap((sample) =>
            run.rows === "weighted" && sample < parts[0]! ? [sample, sample] : [sample],
          );
          const whole = steps.length === perEpoch;
          expect(whole ? read.toSorted((a, b) => a - b) : new Set(steps.flat()).size).toEqual(
            whole ? expected : steps.flat().length,
          );
        }
        // Nothing of the history matters: the same without kills, backwards, by one worker.
        const alone: number[][] = [];
        const lengthOf = run.rows === "grouped" ? arranged.lengthOf : undefined;
        for (let step = committed.length; step >= 1; step--) {
          const slots = Array.from({ length: plan.slots }, (_, slot) => slotRows(plan, step, slot, lengthOf));
          alone.unshift(slots.flatMap(({ microBatches }) => microBatches.flat()));
        }
        expect(JSON.stringify(committed)).toBe(JSON.stringify(alone));
      }),
      { numRuns: 3000 },
    );
  }, 60_000);
});

describe("an epoch's order with rows grouped by length", () => {
  const plan = { seed: 7, datasetSize: 4013, slots: 2, microBatch: 4, accumulation: 1 };
  const lengthOf = (row: number) => 1 + (randomUint32(randomKey(3), row) % 500);
  const places = Array.from({ length: plan.datasetSize }, (_, place) => place);

  it("is a bijection that differs from epoch to epoch", () => {
    const [first, second] = [0, 1].map((epoch) => places.map(epochOrder(plan, epoch, lengthOf)));
    expect(first!.toSorted((a, b) => a - b)).toEqual(places);
    expect(first).not.toEqual(second);
    expect(() => epochOrder(plan, 0, lengthOf)(plan.datasetSize)).toThrow(RangeError);
  });

  it("leaves a fraction of the padding that a plain order has", () => {
    const padding = (grouped: boolean) => {
      const lengths = places.map(epochOrder(plan, 0, grouped ? lengthOf : undefined)).map(lengthOf);
      let padded = 0;
      for (let at = 0; at < lengths.length; at += 4) {
        const batch = lengths.slice(at, at + 4);
        padded += batch.length * Math.max(...batch) - batch.reduce((sum, length) => sum + length, 0);
      }
      return padded;
    };
    expect(padding(true)).toBeLessThan(0.1 * padding(false));
  });

  it("does not go from long to short: the steps of a group come in a drawn order", () => {
    const firsts = places
      .filter((place) => place % 8 === 0)
      .map(epochOrder(plan, 0, lengthOf))
      .map(lengthOf);
    const rises = firsts.slice(1).filter((length, index) => length > firsts[index]!).length;
    expect(rises).toBeGreaterThan(150);
  });
});
