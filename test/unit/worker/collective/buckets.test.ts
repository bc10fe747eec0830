import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bucketRange, planBuckets, shareOf } from "../../../../worker/collective/buckets.ts";

const size = { blockBytes: 1024, slots: 3, budgetBytes: 1024 * 1024 };

describe("planBuckets", () => {
  it("keeps the regions of all slots and of the sum within their budget", () => {
    const property = fc.property(fc.nat(5000), fc.integer({ min: 1, max: 9 }), fc.nat(1e6), (blocks, slots, budget) => {
      const plan = planBuckets({ blocks, blockBytes: 1024, slots, budgetBytes: budget });
      const needed = (perBucket: number) => perBucket * 1024 * 3 * (slots + 1);
      if (!plan) expect(needed(1)).toBeGreaterThan(budget);
      else expect(needed(plan.perBucket)).toBeLessThanOrEqual(budget);
    });
    fc.assert(property);
  });

  it("lets everybody sum a short vector, in one stage", () => {
    expect(planBuckets({ ...size, blocks: 0 })).toMatchObject({ count: 1, everybodySums: true, stages: 1 });
    expect(planBuckets({ ...size, blocks: 1 })).toMatchObject({ count: 1, everybodySums: true, stages: 1 });
    expect(planBuckets({ ...size, blocks: 2 })).toMatchObject({ count: 1, everybodySums: false, stages: 2 });
  });
});

describe("shareOf", () => {
  it("gives each block of each bucket to one rank", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 100 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 9 }),
        (blocks, perBucket, worldSize) => {
          const plan = planBuckets({ ...size, blocks, maxPerBucket: perBucket })!;
          const owners = new Array<number>(blocks).fill(0);
          for (let bucket = 0; bucket < plan.count; bucket++) {
            for (let rank = 0; rank < worldSize; rank++) {
              const { end, first } = shareOf(plan, bucket, rank, worldSize);
              for (let block = first; block < end; block++) owners[block]!++;
              expect(first).toBeGreaterThanOrEqual(bucketRange(plan, bucket).first);
            }
          }
          expect(owners.every((count) => count === 1)).toBe(true);
        },
      ),
    );
  });
});
