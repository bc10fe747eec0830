import { describe, expect, it } from "vitest";
import { chooseRemovals } from "../../../../shared/checkpoint/retention.ts";

const checkpoint = (step: number, generation = 1n) => ({ name: `checkpoint-${step}`, step, generation });
const three = [checkpoint(9), checkpoint(100), checkpoint(20)];

describe("chooseRemovals", () => {
  it("keeps all for a limit of 0", () => {
    expect(chooseRemovals(three, "checkpoint-100", 0).remove).toEqual([]);
  });

  it("keeps the newest by number, not by spelling", () => {
    expect(chooseRemovals(three, "checkpoint-100", 2).remove).toEqual(["checkpoint-9"]);
    expect(chooseRemovals(three, "checkpoint-100", 3).remove).toEqual([]);
  });

  it("keeps the one just saved even where it is the smallest", () => {
    const { remove, reason } = chooseRemovals([...three, checkpoint(5, 2n)], "checkpoint-5", 1);
    expect(remove).toEqual(["checkpoint-100", "checkpoint-20", "checkpoint-9"]);
    expect(reason).toContain("newest 1");
  });

  it("counts a higher generation as newer than a higher step", () => {
    const mixed = [checkpoint(30, 1n), checkpoint(15, 2n), checkpoint(16, 2n)];
    expect(chooseRemovals(mixed, "checkpoint-16", 2).remove).toEqual(["checkpoint-30"]);
  });
});
