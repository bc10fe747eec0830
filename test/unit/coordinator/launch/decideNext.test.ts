import { describe, expect, it } from "vitest";
import { decideNext, patienceMs } from "../../../../coordinator/launch/decideNext.ts";

describe("a node without an agent at work", () => {
  it("gets one at once when it has had none, and again when that has ended", () => {
    expect(decideNext({ earlier: "none", absentMs: 0 })).toBe("start");
    expect(decideNext({ earlier: "ended", absentMs: 0 })).toBe("start again");
  });

  it("is left time to come back by itself when only the way to its agent broke; then it counts as lost", () => {
    expect(decideNext({ earlier: "connected before", absentMs: patienceMs - 1 })).toBe("wait");
    expect(decideNext({ earlier: "connected before", absentMs: patienceMs })).toBe("start again");
  });

  it("is left the same time for an agent that a crashed coordinator may have started; that none comes is no failure", () => {
    expect(decideNext({ earlier: "perhaps left behind", absentMs: patienceMs - 1 })).toBe("wait");
    expect(decideNext({ earlier: "perhaps left behind", absentMs: patienceMs })).toBe("start");
  });
});
