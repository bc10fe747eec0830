import { describe, expect, it } from "vitest";
import { bytesOfFloat32, float32OfBytes } from "../../../../shared/tensors/bytes.ts";

describe("bytesOfFloat32", () => {
  it("is a little-endian view of the same memory, of the given range only", () => {
    const values = Float32Array.of(0, 1, -2, 0).subarray(1, 3);
    const bytes = bytesOfFloat32(values);
    expect([...bytes]).toEqual([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
    values[0] = 0;
    expect([...bytes.subarray(0, 4)]).toEqual([0, 0, 0, 0]);
  });
});

describe("float32OfBytes", () => {
  it("is a view where the bytes are aligned and a copy where they are not", () => {
    const memory = new Uint8Array(13);
    memory.set([0, 0, 0x80, 0x3f], 4);
    memory.set([0, 0, 0x80, 0x3f], 9);
    const aligned = float32OfBytes(memory.subarray(4, 8));
    expect([...aligned]).toEqual([1]);
    expect(aligned.buffer).toBe(memory.buffer);
    const odd = float32OfBytes(memory.subarray(9, 13));
    expect([...odd]).toEqual([1]);
    expect(odd.buffer).not.toBe(memory.buffer);
  });

  it("refuses bytes that are not whole values", () => {
    expect(() => float32OfBytes(new Uint8Array(6))).toThrow("6 bytes");
  });
});
