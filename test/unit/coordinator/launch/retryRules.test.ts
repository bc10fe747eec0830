import { describe, expect, it } from "vitest";
import { decideRestart } from "../../../../coordinator/launch/restartBudget.ts";
import { retryReference, retryRuleFor, retryRules } from "../../../../coordinator/launch/retryRules.ts";

const run = { over: false, restarts: 0, maxRestarts: 3 };

describe("the rules of what is started again", () => {
  it.each([
    [{ exitCode: 1, signal: "", lastLines: "RuntimeError: CUDA out of memory. Tried to allocate" }, /--max-length/],
    [{ exitCode: 1, signal: "", lastLines: "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'zod'" }, /npm ci/],
    [{ exitCode: 1, signal: "", lastLines: "write: ENOSPC" }, /disk/],
    [{ exitCode: 134, signal: "SIGABRT", lastLines: "FATAL ERROR: JavaScript heap out of memory" }, /heap/],
    [{ exitCode: 2, signal: "", lastLines: "" }, /configuration/],
  ])("give up where another start would end the same: %j", (exit, advice) => {
    expect(decideRestart(exit, run)).toMatchObject({ kind: "fail", reason: expect.stringMatching(advice) });
  });

  it.each([
    { exitCode: -1, signal: "SIGKILL" },
    { exitCode: 137, signal: "" },
    { exitCode: 75, signal: "" },
    { exitCode: 1, signal: "", lastLines: "read ECONNRESET" },
    { exitCode: 1, signal: "", lastLines: "TypeError: undefined is not a function" },
    { exitCode: -1, signal: "SIGSEGV" },
  ])("try again where it may help: %j", (exit) => {
    expect(decideRestart(exit, run).kind).toBe("restart");
  });

  it("do not read a signal's -1 as an exit code, and stand in the table one by one", () => {
    expect(retryRuleFor({ exitCode: -1, signal: "SIGTERM" })).toBeUndefined();
    expect(retryReference().split("\n")).toHaveLength(retryRules.length + 3);
  });
});

describe("the cool-down of a node", () => {
  it("doubles with each failure without a step in between, up to a minute", () => {
    const killed = { exitCode: -1, signal: "SIGKILL" };
    const delays = [0, 1, 2, 3, 6, 7, 30].map((failuresInARow) => {
      const decision = decideRestart(killed, { ...run, failuresInARow });
      return decision.kind === "restart" ? decision.delayMs : -1;
    });
    expect(delays).toEqual([0, 1000, 2000, 4000, 32_000, 60_000, 60_000]);
  });
});
