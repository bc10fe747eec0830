import { describe, expect, it } from "vitest";
import { BufferPool } from "../../../../shared/tensors/bufferPool.ts";

describe("BufferPool", () => {
  it("hands a buffer that was given back out once, to whoever asks for its length", () => {
    const pool = new BufferPool(2);
    const buffer = pool.take(8);
    pool.give(buffer);
    expect(pool.take(4)).not.toBe(buffer);
    expect(pool.take(8)).toBe(buffer);
    expect(pool.take(8)).not.toBe(buffer);
  });

  it("keeps the newest buffers up to its limit", () => {
    const pool = new BufferPool(2);
    const buffers = [pool.take(8), pool.take(8), pool.take(8)];
    for (const buffer of buffers) pool.give(buffer);
    expect([pool.take(8), pool.take(8)]).toEqual([buffers[1], buffers[2]]);
    expect(buffers).not.toContain(pool.take(8));
  });
});
