import { describe, expect, it } from "vitest";
import { int8Bytes, quantizeInt8 } from "../../../../../worker/model/quantized/int8.ts";

describe("8-bit weights", () => {
  it("are whole multiples of each row's largest magnitude / 127, the nearest ones", () => {
    const values = Float32Array.of(1.27, -0.634, 0.004, 0, 0, 0, -254, 3, 0.9);
    const widened = new Float32Array(9);
    const quantized = quantizeInt8(values, 3);
    quantized.widen(widened);
    const expected = [1.27, -0.63, 0, 0, 0, 0, -254, 4, 0];
    widened.forEach((value, at) => {
      expect(value).toBeCloseTo(expected[at]!, 5);
    });
    expect(quantized.bytes).toBe(9 + 3 * 4);
    expect(int8Bytes(3, 3)).toBe(quantized.bytes);
  });
});
