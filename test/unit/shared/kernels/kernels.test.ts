import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { createXXHash3 } from "hash-wasm";
import { describe, expect, it } from "vitest";
import * as kernels from "../../../../shared/kernels/kernels.ts";
import { packageRoot } from "../../../../shared/process/packageRoot.ts";
import { assembleKernels } from "../../../support/buildKernels.mjs";
import * as plain from "../../../support/plainKernels.ts";
import { bitsOf, floatBits, vectorOf } from "../../../support/specialFloats.ts";

const [first, second] = kernels.scratch;
const vectors = fc
  .tuple(
    fc.array(floatBits, { minLength: 9, maxLength: 9 }),
    fc.array(floatBits, { minLength: 7, maxLength: 7 }),
    fc.nat(200),
  )
  .map(([a, b, length]) => [vectorOf(a, length), vectorOf(b, length)] as const);

describe("kernels", () => {
  it("add as plain JavaScript does", () => {
    fc.assert(
      fc.property(vectors, ([a, b]) => {
        put(first, bitsOf(a));
        put(second, bitsOf(b));
        kernels.add(first, second, a.byteLength);
        kernels.settleNaNs(first, a.byteLength);
        expect(take(first, a.byteLength)).toEqual(bitsOf(plain.settleNaNs(plain.add(a, b))));
      }),
    );
  });

  it("add into a third vector, and leave the checksums of what was added and of the sum", () => {
    fc.assert(
      fc.property(vectors, ([a, b]) => {
        const [, , third] = kernels.scratch;
        put(first, bitsOf(a));
        put(second, bitsOf(b));
        kernels.sumOf(third, first, second, a.byteLength);
        const sum = bitsOf(plain.settleNaNs(plain.add(a, b)));
        expect(take(third, a.byteLength)).toEqual(sum);
        expect(kernels.checksumsOfSum()).toEqual({ addend: plain.checksum(bitsOf(b)), sum: plain.checksum(sum) });
        expect(kernels.checksumAt(third, sum.length)).toBe(plain.checksum(sum));
      }),
    );
  });

  it("give another checksum for every flipped bit, for words in another order and for another length", () => {
    const bytes = new Uint8Array(101).map((_, index) => (index * 2_654_435_761) >>> 13);
    const seen = new Set<bigint>();
    let looks = 0;
    const look = (changed: Uint8Array) => {
      put(first, changed);
      seen.add(kernels.checksumAt(first, changed.length));
      looks++;
    };
    look(bytes);
    const flip = (at: Uint8Array, bit: number) => {
      const flipped = at.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      return flipped;
    };
    for (let bit = 0; bit < 8 * bytes.length; bit++) look(flip(bytes, bit));
    // Two signs at once, in words that are added up in one lane.
    for (let word = 1; word < 3; word++) look(flip(flip(bytes, 63), 63 + 256 * word));
    const swapped = bytes.slice();
    swapped.copyWithin(0, 32, 64);
    swapped.set(bytes.subarray(0, 32), 32);
    look(swapped);
    look(bytes.subarray(0, 100));
    expect(seen.size).toBe(looks);
  });

  it("round to bfloat16 and back as plain JavaScript does", () => {
    fc.assert(
      fc.property(vectors, ([a]) => {
        put(first, bitsOf(a));
        kernels.encodeBfloat16(second, first, a.byteLength);
        const encoded = plain.encodeBfloat16(a);
        expect(take(second, encoded.byteLength)).toEqual(new Uint8Array(encoded.buffer));
        kernels.decodeBfloat16(first, second, a.byteLength);
        expect(take(first, a.byteLength)).toEqual(bitsOf(plain.decodeBfloat16(encoded)));
      }),
    );
  });

  it("digest as XXH3 of another library does", async () => {
    const reference = await createXXHash3();
    const lengths = [0, 1, 16, 17, 128, 240, 241, 255, 1023, 1024, 1025, 1088, 2048, 65_535, kernels.blockBytes];
    for (const length of lengths) {
      const bytes = new Uint8Array(length).map((_, index) => (index * 2_654_435_761) >>> 13);
      put(first, bytes);
      const expected = BigInt(`0x${reference.init().update(bytes).digest("hex")}`);
      expect(kernels.digestAt(first, length), `${length} bytes`).toBe(expected);
    }
  });

  it("keep memory that is reserved apart, and refuse what does not fit", () => {
    const before = kernels.kernelMemory();
    const at = kernels.reserve(100_000);
    const next = kernels.reserve(1);
    expect(next - at).toBeGreaterThanOrEqual(100_000);
    expect(at % (64 * 1024)).toBe(0);
    kernels.kernelMemory()[at - 1] = 7;
    expect(before[at - 1]).toBe(7);
    expect(() => kernels.reserve(4 * 1024 ** 3)).toThrow(/do not fit/);
  });

  it("are what `npm run generate` makes of their source", async () => {
    const path = join(packageRoot(), "shared", "kernels", "kernelsWasm.ts");
    expect(readFileSync(path, "utf8")).toBe(await assembleKernels());
  });
});

function put(address: number, bytes: Uint8Array): void {
  kernels.kernelMemory().set(bytes, address);
}

function take(address: number, length: number): Uint8Array {
  return Uint8Array.from(kernels.kernelMemory().subarray(address, address + length));
}
