import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ChunkAssembler, checkDigest, cutIntoChunks } from "../../../../shared/rpc/chunks.ts";
import { chunkBytes } from "../../../../shared/rpc/limits.ts";
import { digest64 } from "../../../../shared/tensors/digest.ts";

const sizes = [0, 1, 3, chunkBytes - 1, chunkBytes, chunkBytes + 1, 2 * chunkBytes + 5];

describe("ChunkAssembler", () => {
  it.each(sizes)("puts %i bytes that were cut together again, in used memory", (size) => {
    const bytes = Uint8Array.from({ length: size }, (_, index) => (index * 31) % 251);
    const assembler = new ChunkAssembler(new Uint8Array(size).fill(0xaa));
    for (const piece of cutIntoChunks(bytes)) assembler.add(piece);
    // Not toEqual: it takes seconds over megabytes.
    expect(Buffer.compare(assembler.bytes, bytes)).toBe(0);
    expect(assembler.digest()).toBe(digest64(bytes));
  });

  it("refuses a gap, an overlap and too much", () => {
    const assembler = new ChunkAssembler(new Uint8Array(4));
    assembler.add({ offset: 0n, data: Uint8Array.of(1, 2) });
    for (const offset of [0n, 1n, 3n, 2n ** 60n]) {
      expect(() => assembler.add({ offset, data: Uint8Array.of(3) })).toThrow(/2 of 4 bytes are there/);
    }
    expect(() => assembler.add({ offset: 2n, data: Uint8Array.of(1, 2, 3) })).toThrow(/came for offset 2/);
    expect(() => assembler.digest()).toThrow(/ended after 2 of 4 bytes/);
  });

  it("notices any flipped bit", () => {
    const bytes = Uint8Array.from({ length: 100 }, (_, index) => index);
    fc.assert(
      fc.property(fc.nat({ max: 99 }), fc.nat({ max: 7 }), (at, bit) => {
        const damaged = Uint8Array.from(bytes);
        damaged[at]! ^= 1 << bit;
        const assembler = new ChunkAssembler(new Uint8Array(100));
        assembler.add({ offset: 0n, data: damaged });
        expect(() => checkDigest(assembler.digest(), digest64(bytes), "The sum of step 3")).toThrow(
          "The sum of step 3 was damaged on its way (digest mismatch).",
        );
      }),
    );
  });
});
