import { describe, expect, it } from "vitest";
import { collate } from "../../../../worker/train/collate.ts";

describe("collate", () => {
  it("pads on the right and masks padding and questions", () => {
    const batch = collate([
      { inputIds: Uint32Array.of(5, 6, 7), labelMask: Uint8Array.of(0, 1, 1) },
      { inputIds: Uint32Array.of(8), labelMask: Uint8Array.of(1) },
    ]);
    expect(batch).toEqual({
      batch: 2,
      sequence: 3,
      inputIds: Int32Array.of(5, 6, 7, 8, 0, 0),
      labels: Int32Array.of(-100, 6, 7, 8, -100, -100),
    });
  });

  it("numbers the samples that are packed into a row, and its padding", () => {
    const batch = collate([
      { inputIds: Uint32Array.of(5, 6, 7), labelMask: Uint8Array.of(0, 1, 1), lengths: [2, 1] },
      { inputIds: Uint32Array.of(8), labelMask: Uint8Array.of(1) },
    ]);
    expect(batch.segments).toEqual(Int32Array.of(0, 0, 1, 0, 1, 1));
  });
});
