import { describe, expect, it } from "vitest";
import { fromFlat, type Tensor, toFlat } from "../../../../shared/checkpoint/flat.ts";
import { layOut } from "../../../../shared/tensors/layout.ts";

const layout = layOut([
  { name: "a", shape: [2, 1] },
  { name: "b", shape: [3] },
]);
const flat = Float32Array.of(1, 2, 3, 4, 5);
const tensors = (changes: [string, Tensor][] = []) =>
  new Map<string, Tensor>([
    ["b", { shape: [3], data: Float32Array.of(3, 4, 5) }],
    ["a", { shape: [2, 1], data: Float32Array.of(1, 2) }],
    ...changes,
  ]);

describe("fromFlat", () => {
  it("gives views of the vector in layout order", () => {
    const parts = fromFlat(layout, flat, "exp_avg.");
    expect(parts).toEqual([
      { name: "exp_avg.a", shape: [2, 1], data: Float32Array.of(1, 2) },
      { name: "exp_avg.b", shape: [3], data: Float32Array.of(3, 4, 5) },
    ]);
    expect(parts[1]?.data.buffer).toBe(flat.buffer);
  });

  it("refuses a vector of another length", () => {
    expect(() => fromFlat(layout, new Float32Array(4))).toThrow("5 elements was given 4");
  });
});

describe("toFlat", () => {
  it("finds tensors by name, whatever their order", () => {
    expect(toFlat(layout, tensors(), "x")).toEqual(flat);
  });

  it("names the first tensor that is missing, of another shape or not expected", () => {
    const missing = tensors();
    missing.delete("a");
    expect(() => toFlat(layout, missing, "x")).toThrow("x has no tensor a;");
    const data = Float32Array.of(1, 2);
    expect(() => toFlat(layout, tensors([["a", { shape: [1, 2], data }]]), "x")).toThrow("shape [1,2], but [2,1]");
    expect(() => toFlat(layout, tensors([["a", { shape: [2], data }]]), "x")).toThrow("shape [2], but [2,1]");
    expect(() => toFlat(layout, tensors([["c", { shape: [2], data }]]), "x")).toThrow('unexpected tensor "c"');
    expect(() => toFlat(layout, missing, "x")).toThrow(expect.objectContaining({ code: "ADAPTER_INVALID" }));
  });
});
