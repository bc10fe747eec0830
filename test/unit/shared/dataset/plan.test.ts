import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { slotRows } from "../../../../shared/dataset/epochOrder.ts";
import {
  epochAt,
  evaluationSamples,
  type SamplePlan,
  stepsPerEpoch,
  totalSteps,
} from "../../../../shared/dataset/plan.ts";

const anyPlan: fc.Arbitrary<SamplePlan> = fc.record({
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  datasetSize: fc.integer({ min: 1, max: 400 }),
  slots: fc.integer({ min: 1, max: 16 }),
  microBatch: fc.integer({ min: 1, max: 8 }),
  accumulation: fc.integer({ min: 1, max: 5 }),
});

const slotsOf = (plan: SamplePlan, step: number) =>
  Array.from({ length: plan.slots }, (_, slot) => slotRows(plan, step, slot));

describe("the sample plan", () => {
  it("takes 27,974 steps for two epochs of HuatuoGPT's 223,781 rows in batches of 4 × 4 on one GPU", () => {
    const plan = { seed: 42, datasetSize: 223_781, slots: 1, microBatch: 4, accumulation: 4 };
    expect(stepsPerEpoch(plan)).toBe(13_987);
    expect(totalSteps(plan, 2, -1)).toBe(27_974);
    expect(totalSteps(plan, 2, 100)).toBe(100);
    expect(totalSteps(plan, 0.5, 0)).toBe(6994);
    expect(epochAt(plan, 27_974)).toBe(2);
    expect(slotRows(plan, 13_987, 0).microBatches.flat()).toHaveLength(223_781 % 16);
  });

  it("reads every sample exactly once per epoch, whatever the sizes", () => {
    fc.assert(
      fc.property(anyPlan, fc.integer({ min: 0, max: 3 }), (plan, epoch) => {
        const steps = stepsPerEpoch(plan);
        const seen: number[] = [];
        let wrongEpochs = 0;
        for (let step = epoch * steps + 1; step <= (epoch + 1) * steps; step++) {
          for (const slot of slotsOf(plan, step)) {
            seen.push(...slot.microBatches.flat());
            wrongEpochs += slot.epoch === epoch ? 0 : 1;
          }
        }
        expect(wrongEpochs).toBe(0);
        expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: plan.datasetSize }, (_, index) => index));
      }),
      { numRuns: 1500 },
    );
  });

  it("fills every micro-batch of every slot except in an epoch's last step, which is spread evenly", () => {
    fc.assert(
      fc.property(anyPlan, (plan) => {
        const steps = stepsPerEpoch(plan);
        for (let step = 1; step <= steps; step++) {
          const slots = slotsOf(plan, step);
          const sizes = slots.map((slot) => slot.microBatches.flat().length);
          expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
          for (const { microBatches } of slots) {
            expect(microBatches.length).toBeLessThanOrEqual(plan.accumulation);
            expect(microBatches.every((one) => one.length > 0 && one.length <= plan.microBatch)).toBe(true);
          }
          if (step < steps) expect(sizes.every((size) => size === plan.microBatch * plan.accumulation)).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("gives some slots nothing when the last step has fewer samples than slots", () => {
    const plan = { seed: 1, datasetSize: 10, slots: 4, microBatch: 2, accumulation: 1 };
    expect(slotsOf(plan, 2).map((slot) => slot.microBatches.map((one) => one.length))).toEqual([[1], [1], [], []]);
  });

  it("shuffles anew each epoch", () => {
    const plan = { seed: 1, datasetSize: 100, slots: 1, microBatch: 100, accumulation: 1 };
    expect(slotRows(plan, 1, 0).microBatches).not.toEqual(slotRows(plan, 2, 0).microBatches);
  });

  it("never changes, so that old runs can be resumed", () => {
    const plan = { seed: 42, datasetSize: 20, slots: 2, microBatch: 2, accumulation: 2 };
    expect([1, 2, 3].map((step) => slotsOf(plan, step).map((slot) => slot.microBatches))).toEqual([
      [
        [
          [13, 5],
          [1, 6],
        ],
        [
          [11, 0],
          [14, 18],
        ],
      ],
      [
        [
          [12, 3],
          [19, 2],
        ],
        [
          [17, 7],
          [10, 15],
        ],
      ],
      [[[9, 16]], [[8, 4]]],
    ]);
  });

  it("refuses steps before the first and slots beyond the last", () => {
    const plan = { seed: 1, datasetSize: 10, slots: 2, microBatch: 2, accumulation: 1 };
    expect(() => slotRows(plan, 0, 0)).toThrow(RangeError);
    expect(() => slotRows(plan, 1, 2)).toThrow(RangeError);
  });
});

describe("evaluationSamples", () => {
  it("splits the held-out set over slots in order, evenly, each sample once", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 300 }),
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 9 }),
        (size, slots, microBatch) => {
          const parts = Array.from({ length: slots }, (_, slot) => evaluationSamples(size, slots, slot, microBatch));
          expect(parts.flat(2)).toEqual(Array.from({ length: size }, (_, index) => index));
          const sizes = parts.map((part) => part.flat().length);
          expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
          expect(parts.flat().every((batch) => batch.length > 0 && batch.length <= microBatch)).toBe(true);
        },
      ),
    );
  });
});
