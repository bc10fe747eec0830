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
