import { describe, expect, it } from "vitest";
import { decideRestart } from "../../../../coordinator/launch/restartBudget.ts";

const killed = { exitCode: -1, signal: "SIGKILL" };

describe("decideRestart", () => {
  it("starts a killed worker again while the budget lasts", () => {
    expect(decideRestart(killed, { over: false, restarts: 1, maxRestarts: 3 })).toEqual({
      kind: "restart",
      delayMs: 0,
      reason: "It was ended by SIGKILL; restart 2 of 3.",
    });
  });

  it("fails the run with the way out when the budget is used up", () => {
    const decision = decideRestart({ exitCode: 1, signal: "" }, { over: false, restarts: 3, maxRestarts: 3 });
    expect(decision).toEqual({ kind: "fail", reason: "It ended with exit code 1, and --max-restarts 3 is used up." });
  });

  it("lets workers go when their work or the run is over", () => {
    const done = decideRestart({ exitCode: 0, signal: "" }, { over: false, restarts: 0, maxRestarts: 3 });
    expect(done.kind).toBe("ignore");
    expect(decideRestart(killed, { over: true, restarts: 0, maxRestarts: 3 }).kind).toBe("ignore");
  });
});
