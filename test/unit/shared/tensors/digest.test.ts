import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Digest64, digest64 } from "../../../../shared/tensors/digest.ts";

const text = (value: string) => new TextEncoder().encode(value);

describe("digest64", () => {
  it("is XXH64 with seed 0", () => {
    // Published vectors of XXH64.
    expect(digest64(text(""))).toBe(0xef46db3751d8e999n);
    expect(digest64(text("a"))).toBe(0xd24ec4f1a98c6e5bn);
    expect(digest64(text("abc"))).toBe(0x44bc2cf5ad770999n);
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
    const pieces = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 });
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
