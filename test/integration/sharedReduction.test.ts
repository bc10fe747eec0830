import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type SharedPart, SharedRound } from "../../coordinator/collective/sharedRound.ts";
import { slotsOf } from "../../coordinator/membership/slotMapping.ts";
import { blockBytes, kernelMemory, reserve } from "../../shared/kernels/kernels.ts";
import { canMapInPlace } from "../../shared/regions/mapping.ts";
import { planBuckets } from "../../worker/collective/buckets.ts";
import { InPlaceReduction } from "../../worker/collective/inPlaceReduction.ts";
import { Meeting, meetingBytes } from "../../worker/collective/meeting.ts";
import { type BlockStore, SharedReduction } from "../../worker/collective/sharedReduction.ts";
import { sumSlots, sumSlotsInBfloat16 } from "../support/plainKernels.ts";
import { bitsOf, floatBits, vectorOf } from "../support/specialFloats.ts";

const elementsPerBlock = blockBytes / 4;
const rounds = fc.record({
  worldSize: fc.integer({ min: 1, max: 4 }),
  slotsPerWorker: fc.integer({ min: 1, max: 2 }),
  groupSize: fc.integer({ min: 1, max: 5 }),
  elements: fc.oneof(
    fc.constantFrom(0, 1, 7, elementsPerBlock, elementsPerBlock + 1, 5 * elementsPerBlock - 3),
    fc.nat(4 * elementsPerBlock),
  ),
  perBucket: fc.integer({ min: 1, max: 4 }),
  bfloat16: fc.boolean(),
  patterns: fc.array(fc.array(floatBits, { minLength: 5, maxLength: 5 }), { minLength: 8, maxLength: 8 }),
});

describe("SharedReduction", () => {
  it("gives every member the bits of the sum in slot order, however slots, groups and buckets are cut", async () => {
    await fc.assert(
      fc.asyncProperty(rounds, async ({ bfloat16, elements, patterns, ...shape }) => {
        const slots = shape.worldSize * shape.slotsPerWorker;
        const gradients = Array.from({ length: slots }, (_, slot) => vectorOf(patterns[slot]!, elements));
        const sum = bfloat16 ? sumSlotsInBfloat16 : sumSlots;
        const expected = bitsOf(sum(gradients, shape.groupSize));
        for (const result of await reduce({ ...shape, bfloat16, gradients })) {
          expect(Buffer.compare(bitsOf(result), expected)).toBe(0);
        }
      }),
      { numRuns: 30 },
    );
  });

  it("reads a block again that was damaged on its way, and refuses one that stays so", async () => {
    const gradients = [1, 2].map((value) => new Float32Array(3 * elementsPerBlock).fill(value));
    const shape = { worldSize: 2, groupSize: 2, perBucket: 2, bfloat16: false, gradients };
    const once = flipping(1);
    const [sum] = await reduce({ ...shape, damage: once.damage });
    expect(once.flips()).toBe(1);
    expect(new Set(sum)).toEqual(new Set([3]));
    const always = flipping(Number.POSITIVE_INFINITY);
    await expect(reduce({ ...shape, damage: always.damage })).rejects.toThrow(/not what was written/);
  });
});

describe.runIf(canMapInPlace)("InPlaceReduction", () => {
  it("gives every member the bits of the sum in slot order, however slots and groups are cut", async () => {
    await fc.assert(
      fc.asyncProperty(rounds, async ({ bfloat16, elements, patterns, ...shape }) => {
        const slots = shape.worldSize * shape.slotsPerWorker;
        const gradients = Array.from({ length: slots }, (_, slot) => vectorOf(patterns[slot]!, elements));
        const sum = bfloat16 ? sumSlotsInBfloat16 : sumSlots;
        const expected = bitsOf(sum(gradients, shape.groupSize));
        for (const result of await reduceInPlace({ ...shape, bfloat16, gradients })) {
          expect(Buffer.compare(bitsOf(result), expected)).toBe(0);
        }
      }),
      { numRuns: 30 },
    );
  });

  it.each([
    { what: "slot", stage: 0, bfloat16: false },
    { what: "slot", stage: 0, bfloat16: true },
    { what: "sum", stage: 1, bfloat16: false },
    { what: "sum", stage: 1, bfloat16: true },
  ])("refuses a $what in which a bit has changed since it was written (bfloat16: $bfloat16)", async (damaged) => {
    const gradients = [1, 2].map((value) => new Float32Array(3 * elementsPerBlock).fill(value));
    // In the first slot, which is rank 0's, the block that rank 1 sums; in the sum one of rank 0's.
    const block = damaged.bfloat16 ? blockBytes / 2 : blockBytes;
    const damage = (stage: number, slot: number, sum: number) => {
      if (stage === damaged.stage) kernelMemory()[stage === 0 ? slot + 2 * block + 5 : sum + 5]! ^= 1;
    };
    const shape = { worldSize: 2, groupSize: 2, bfloat16: damaged.bfloat16, gradients };
    await expect(reduceInPlace({ ...shape, damage })).rejects.toThrow(/not what was written/);
  });
});

/** Members in one process; `damage` comes between what is written and what is read. */
async function reduceInPlace({
  bfloat16,
  damage,
  gradients,
  groupSize,
  worldSize,
}: Omit<Setup, "damage" | "perBucket"> & { damage?: (stage: number, slot: number, sum: number) => void }) {
  const bytes = gradients[0]!.byteLength;
  const slots = gradients.length;
  const shape = { worldSize, slots, blocks: Math.ceil(bytes / blockBytes) };
  const meetingAt = vectorMemory(meetingBytes(shape));
  kernelMemory().fill(0, meetingAt, meetingAt + meetingBytes(shape));
  const regions = gradients.map((gradient) => (bfloat16 ? vectorMemory(bytes) : copyIn(gradient)));
  const sumRegion = vectorMemory(bytes);
  const signal = new AbortController().signal;
  const members = Array.from({ length: worldSize }, async (_, rank) => {
    const own = new Map(
      slotsOf(rank, worldSize, slots).map((slot) => [slot, bfloat16 ? copyIn(gradients[slot]!) : regions[slot]!]),
    );
    const meeting = new Meeting(meetingAt, shape);
    const sum = bfloat16 || shape.blocks <= 1 ? vectorMemory(bytes) : sumRegion;
    await new InPlaceReduction({
      rank,
      worldSize,
      slots,
      groupSize,
      bytes,
      bfloat16,
      own,
      sum,
      meeting,
      slotRegion: (slot) => regions[slot]!,
      sumRegion,
      async barrier(stage) {
        if (rank === 0) damage?.(stage, regions[0]!, sumRegion);
        meeting.arrive(rank, stage + 1);
        await meeting.all(stage + 1, signal);
      },
    }).run();
    return new Float32Array(kernelMemory().slice(sum, sum + bytes).buffer);
  });
  return Promise.all(members);
}

interface Setup {
  readonly worldSize: number;
  readonly groupSize: number;
  readonly perBucket: number;
  readonly bfloat16: boolean;
  readonly gradients: readonly Float32Array[];
  /** May change what was read. */
  readonly damage?: (bytes: Uint8Array) => void;
}

/** Members and their coordinator's round in one process, memory that is shared by being the same. */
async function reduce({ bfloat16, damage, gradients, groupSize, perBucket, worldSize }: Setup) {
  const bytes = gradients[0]!.byteLength;
  const slots = gradients.length;
  const buckets = planBuckets({
    blocks: Math.ceil(bytes / blockBytes),
    blockBytes: bfloat16 ? blockBytes / 2 : blockBytes,
    slots,
    budgetBytes: Number.MAX_SAFE_INTEGER,
    maxPerBucket: perBucket,
  })!;
  const round = new SharedRound(worldSize, slots);
  const stores = new Map<number, BlockStore>();
  const storeOf = (index: number) => {
    const store = stores.get(index) ?? newStore(3 * buckets.perBucket * blockBytes, damage);
    stores.set(index, store);
    return store;
  };
  const members = Array.from({ length: worldSize }, async (_, rank) => {
    const own = slotsOf(rank, worldSize, slots);
    const part: SharedPart = {
      rank,
      bytes,
      stages: buckets.stages,
      slots: own.map((slot) => ({ slot, loss: { sum: 1, tokens: 1 }, inputTokens: 1 })),
    };
    const sum = vectorMemory(bytes);
    const reduction = new SharedReduction({
      buckets,
      rank,
      worldSize,
      slots,
      groupSize,
      bytes,
      bfloat16,
      own: new Map(own.map((slot) => [slot, copyIn(gradients[slot]!)])),
      sum,
      slotStore: storeOf,
      sumStore: storeOf(-1),
      async barrier(stage, mine) {
        if (stage === 0) round.join(part);
        const outcome = await round.arrive(rank, stage, mine);
        if (outcome.kind === "declined") throw new Error(outcome.reason);
        return outcome;
      },
    });
    await reduction.run();
    return new Float32Array(kernelMemory().slice(sum, sum + bytes).buffer);
  });
  return Promise.all(members);
}

function newStore(bytes: number, damage: Setup["damage"]): BlockStore {
  const memory = new Uint8Array(bytes);
  return {
    write: (address, length, offset) => memory.set(kernelMemory().subarray(address, address + length), offset),
    read(address, length, offset) {
      const read = memory.slice(offset, offset + length);
      damage?.(read);
      kernelMemory().set(read, address);
    },
  };
}

function flipping(times: number) {
  let flips = 0;
  const damage = (bytes: Uint8Array) => {
    if (flips < times) bytes[bytes.length >> 1]! ^= 1;
    flips++;
  };
  return { damage, flips: () => Math.min(flips, times) };
}

/** Memory is reserved for good, so tests take turns with the same. */
const reserved: number[] = [];
let taken = 0;
function vectorMemory(bytes: number): number {
  const most = 6 * blockBytes;
  if (bytes > most) throw new Error("The test's vectors are shorter.");
  reserved[taken] ??= reserve(most);
  const address = reserved[taken]!;
  taken = (taken + 1) % 24;
  return address;
}

function copyIn(values: Float32Array): number {
  const address = vectorMemory(values.byteLength);
  kernelMemory().set(bitsOf(values), address);
  return address;
}
