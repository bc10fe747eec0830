import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GradientSum } from "../../../../shared/tensors/reduce.ts";

/** Bits with every NaN made the same: which NaN an addition returns is the processor's choice. */
const bitsOf = (values: Float32Array) =>
  [...values].map((value) => (Number.isNaN(value) ? "NaN" : new Uint32Array(Float32Array.of(value).buffer)[0]));

/** The definition, written down as plainly as possible. */
function naive(vectors: readonly Float32Array[], groupSize: number): Float32Array {
  const add = (a: Float32Array, b: Float32Array) => a.map((value, index) => Math.fround(value + b[index]!));
  const groups: Float32Array[] = [];
  for (let start = 0; start < vectors.length; start += groupSize) {
    groups.push(vectors.slice(start, start + groupSize).reduce(add));
  }
  return groups.reduce(add);
}

function sumInOrder(vectors: readonly Float32Array[], groupSize: number, order: readonly number[]): GradientSum {
  const sum = new GradientSum({ slots: vectors.length, groupSize, elements: vectors[0]!.length });
  for (const slot of order) {
    expect(sum.complete).toBe(false);
    sum.add(slot, vectors[slot]!.slice());
  }
  return sum;
}

const special = fc.constantFrom(
  0,
  -0,
  2 ** -149,
  -(2 ** -149),
  2 ** -126 - 2 ** -149,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  Number.NaN,
  (2 - 2 ** -23) * 2 ** 127,
  1,
  1 + 2 ** -23,
  -1,
);
const value = fc.oneof(fc.float(), special);
const rounds = fc
  .record({ slots: fc.integer({ min: 1, max: 12 }), groupSize: fc.integer({ min: 1, max: 13 }) })
  .chain(({ slots, groupSize }) =>
    fc.record({
      groupSize: fc.constant(groupSize),
      vectors: fc.array(
        fc.array(value, { minLength: 6, maxLength: 6 }).map((values) => Float32Array.from(values)),
        {
          minLength: slots,
          maxLength: slots,
        },
      ),
      order: fc.shuffledSubarray(
        Array.from({ length: slots }, (_, slot) => slot),
        { minLength: slots, maxLength: slots },
      ),
    }),
  );

describe("GradientSum", () => {
  it("gives the bits of the naive sum whatever the order of arrival", () => {
    fc.assert(
      fc.property(rounds, ({ vectors, groupSize, order }) => {
        const sum = sumInOrder(vectors, groupSize, order);
        expect(sum.complete).toBe(true);
        expect(bitsOf(sum.result())).toEqual(bitsOf(naive(vectors, groupSize)));
      }),
      { numRuns: 1000 },
    );
  });

  it("distinguishes groupings, so the group size is part of the result", () => {
    const vectors = [1, 2 ** -24, 2 ** -24, 2 ** -24].map((x) => Float32Array.of(x));
    const of = (groupSize: number) => sumInOrder(vectors, groupSize, [0, 1, 2, 3]).result()[0];
    expect(of(4)).toBe(1);
    expect(of(2)).toBe(1 + 2 ** -23);
  });

  it("keeps a sum of negative zeros negative", () => {
    const vectors = [Float32Array.of(-0), Float32Array.of(-0), Float32Array.of(-0)];
    expect(sumInOrder(vectors, 2, [2, 0, 1]).result()[0]).toBe(-0);
  });

  it("holds one vector when slots arrive in order and one per open group when each group's do", () => {
    const zeros = () => new Float32Array(1);
    const ordered = new GradientSum({ slots: 8, groupSize: 4, elements: 1 });
    for (let slot = 0; slot < 8; slot++) {
      ordered.add(slot, zeros());
      expect(ordered.held).toBeLessThanOrEqual(2);
    }
    expect(ordered.held).toBe(1);
    const interleaved = new GradientSum({ slots: 8, groupSize: 4, elements: 1 });
    for (const slot of [4, 0, 5, 1, 6, 2, 7, 3]) {
      interleaved.add(slot, zeros());
      expect(interleaved.held).toBeLessThanOrEqual(2);
    }
    expect(interleaved.held).toBe(1);
  });

  it("refuses a slot twice, a slot that does not exist, another length and an early result", () => {
    const sum = new GradientSum({ slots: 2, groupSize: 2, elements: 1 });
    sum.add(0, new Float32Array(1));
    expect(() => sum.add(0, new Float32Array(1))).toThrow("twice");
    expect(() => sum.add(2, new Float32Array(1))).toThrow("no slot 2");
    expect(() => sum.add(0.5, new Float32Array(1))).toThrow("no slot 0.5");
    expect(() => sum.add(1, new Float32Array(2))).toThrow("2 elements, not 1");
    expect(() => sum.result()).toThrow("Only 1 of 2");
    expect(() => new GradientSum({ slots: 2, groupSize: 0, elements: 1 })).toThrow("groupSize");
  });
});
