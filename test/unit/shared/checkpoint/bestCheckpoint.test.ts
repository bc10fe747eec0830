import { describe, expect, it } from "vitest";
import { bestCheckpoint } from "../../../../shared/checkpoint/bestCheckpoint.ts";

const loss = (step: number, eval_loss: number) => ({ step, epoch: 0, eval_loss });

describe("bestCheckpoint", () => {
  it("is the lowest held-out loss among the steps that have a checkpoint", () => {
    const history = [loss(5, 3), loss(10, 1), loss(15, 2), { step: 20, epoch: 1, loss: 0.1 }];
    expect(bestCheckpoint(history, [5, 15, 20])).toBe(15);
    expect(bestCheckpoint(history, [5, 10, 15])).toBe(10);
  });

  it("is the later of two equal ones, and none where nothing was measured", () => {
    expect(bestCheckpoint([loss(5, 1), loss(10, 1)], [5, 10])).toBe(10);
    expect(bestCheckpoint([loss(5, 1)], [10])).toBeUndefined();
  });
});
