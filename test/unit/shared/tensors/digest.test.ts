import fc from "fast-check";
import { createXXHash3 } from "hash-wasm";
import { describe, expect, it } from "vitest";
import { Digest64, digest64 } from "../../../../shared/tensors/digest.ts";

describe("digest64", () => {
  it("is XXH3 of the XXH3 digests of its blocks", async () => {
    const reference = await createXXHash3();
    const xxh3 = (bytes: Uint8Array) => BigInt(`0x${reference.init().update(bytes).digest("hex")}`);
    const ofBlocks = (bytes: Uint8Array) => {
      const blocks: bigint[] = [];
      for (let at = 0; at < bytes.length; at += 2 ** 18) blocks.push(xxh3(bytes.slice(at, at + 2 ** 18)));
      return xxh3(new Uint8Array(BigUint64Array.from(blocks).buffer));
    };
    for (const length of [0, 1, 300, 2 ** 18, 2 ** 18 + 1, 3 * 2 ** 18 + 5]) {
      const bytes = new Uint8Array(length).map((_, index) => index * 31);
      expect(digest64(bytes)).toBe(ofBlocks(bytes));
    }
  });

  it("sees a single flipped bit and a swap of two words", () => {
    const bytes = new Uint8Array(1 << 20).map((_, index) => index * 31);
    const before = digest64(bytes);
    bytes[777_777]! ^= 4;
    expect(digest64(bytes)).not.toBe(before);
    bytes[777_777]! ^= 4;
    expect(digest64(bytes)).toBe(before);
  });
});

describe("Digest64", () => {
  it("gives the digest of the whole however the bytes are cut, several at once, asked at any time", () => {
    const pieces = fc.array(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(2 ** 19).map((length) => new Uint8Array(length).fill(length)),
      ),
      { maxLength: 5 },
    );
    fc.assert(
      fc.property(pieces, pieces, (left, right) => {
        const [a, b] = [new Digest64(), new Digest64()];
        for (let i = 0; i < Math.max(left.length, right.length); i++) {
          a.update(left[i] ?? new Uint8Array());
          a.value();
          b.update(right[i] ?? new Uint8Array());
        }
        expect(a.value()).toBe(digest64(Buffer.concat(left)));
        expect(b.value()).toBe(digest64(Buffer.concat(right)));
      }),
    );
  });
});
