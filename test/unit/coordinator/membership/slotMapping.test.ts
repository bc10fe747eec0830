import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { slotsOf } from "../../../../coordinator/membership/slotMapping.ts";

describe("slotsOf", () => {
  it("gives every slot to exactly one rank, in order, in shares that differ by one at most", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 100 }), (worldSize, slots) => {
        const shares = Array.from({ length: worldSize }, (_, rank) => slotsOf(rank, worldSize, slots));
        expect(shares.flat()).toEqual(Array.from({ length: slots }, (_, slot) => slot));
        const sizes = shares.map((share) => share.length);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }),
    );
  });
});
