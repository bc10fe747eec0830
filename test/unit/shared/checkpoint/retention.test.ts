import { describe, expect, it } from "vitest";
import { chooseRemovals } from "../../../../shared/checkpoint/retention.ts";

const checkpoint = (step: number, generation = 1n) => ({ name: `checkpoint-${step}`, step, generation });
const three = [checkpoint(9), checkpoint(100), checkpoint(20)];
const rule = (limit: number, milestoneSteps = 0, best?: string) => ({ limit, milestoneSteps, best });

describe("chooseRemovals", () => {
  it("keeps all for a limit of 0", () => {
    expect(chooseRemovals(three, "checkpoint-100", rule(0)).remove).toEqual([]);
  });

  it("keeps the newest by number, not by spelling", () => {
    expect(chooseRemovals(three, "checkpoint-100", rule(2)).remove).toEqual(["checkpoint-9"]);
    expect(chooseRemovals(three, "checkpoint-100", rule(3)).remove).toEqual([]);
  });

  it("keeps the one just saved even where it is the smallest", () => {
    const { remove, reason } = chooseRemovals([...three, checkpoint(5, 2n)], "checkpoint-5", rule(1));
    expect(remove).toEqual(["checkpoint-100", "checkpoint-20", "checkpoint-9"]);
    expect(reason).toContain("newest 1");
  });

  it("counts a higher generation as newer than a higher step", () => {
    const mixed = [checkpoint(30, 1n), checkpoint(15, 2n), checkpoint(16, 2n)];
    expect(chooseRemovals(mixed, "checkpoint-16", rule(2)).remove).toEqual(["checkpoint-30"]);
  });

  it("keeps the best one, which counts, also where that makes two for a limit of one", () => {
    const best = "checkpoint-9";
    expect(chooseRemovals(three, "checkpoint-100", rule(2, 0, best)).remove).toEqual(["checkpoint-20"]);
    const { reason, remove } = chooseRemovals(three, "checkpoint-100", rule(1, 0, best));
    expect(remove).toEqual(["checkpoint-20"]);
    expect(reason).toBe("the newest 1 are kept (--save-total-limit 1), the best one, checkpoint-9, too");
    expect(chooseRemovals(three, "checkpoint-100", rule(1, 0, "checkpoint-100")).remove).toHaveLength(2);
  });

  it("keeps milestones, which do not count", () => {
    const steps = [10, 20, 30, 40, 50].map((step) => checkpoint(step));
    expect(chooseRemovals(steps, "checkpoint-50", rule(2, 20)).remove).toEqual(["checkpoint-10"]);
    expect(chooseRemovals(steps, "checkpoint-50", rule(1, 20)).remove).toEqual(["checkpoint-30", "checkpoint-10"]);
    // One that is a milestone and the newest takes the newest one's place.
    expect(chooseRemovals(steps.slice(0, 4), "checkpoint-40", rule(1, 20)).remove).toEqual([
      "checkpoint-30",
      "checkpoint-10",
    ]);
  });
});
