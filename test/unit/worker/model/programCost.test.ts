import { expect, it } from "vitest";
import { input, matmul, parameter, reshape } from "../../../../worker/model/operations.ts";
import { toProgram } from "../../../../worker/model/program.ts";
import { matmulOperations } from "../../../../worker/model/programCost.ts";

it("two operations for each multiplication and addition of each matrix product, whichever operand is transposed", () => {
  const x = input("x", ["T", 3]);
  const y = matmul(x, parameter("w", [5, 3]), { transposeB: true }); // [T, 5]
  const z = matmul(y, y, { transposeA: true }); // [5, 5]
  const sizes = { B: 1, S: 7, T: 7, L: 6 };
  expect(matmulOperations(toProgram([reshape(y, ["B", "S", 5]), z]), sizes)).toBe(2 * 7 * 3 * 5 + 2 * 5 * 7 * 5);
});
