import { describe, expect, it } from "vitest";
import { layOut } from "../../../../shared/tensors/layout.ts";
import { firstNotFinite } from "../../../../worker/train/firstNotFinite.ts";

const layout = layOut([
  { name: "a", shape: [2, 2] },
  { name: "b", shape: [3] },
]);

describe("firstNotFinite", () => {
  it.each([
    [0, Number.NaN, "a"],
    [3, Number.POSITIVE_INFINITY, "a"],
    [4, Number.NEGATIVE_INFINITY, "b"],
    [6, Number.NaN, "b"],
  ])("names the tensor that element %i belongs to when it is %f", (index, value, name) => {
    const gradient = new Float32Array(7).fill(1e38);
    gradient[index] = value;
    expect(firstNotFinite(gradient, layout)).toBe(name);
  });

  it("finds nothing in a finite gradient", () => {
    expect(firstNotFinite(new Float32Array([0, -0, 1e-45, 3.4e38, -3.4e38, 1, 2]), layout)).toBeUndefined();
  });
});
