import { describe, expect, it } from "vitest";
import { FailureHistory } from "../../../../coordinator/launch/failureHistory.ts";

const failure = (atMs: number, nodeRank = 0) => ({
  ...{ atMs, nodeRank, localRank: 0, attempt: 0, host: "h", how: "ended with exit code 1.", lastLines: "" },
});

describe("FailureHistory", () => {
  it("names the first failure since the run made progress, whichever failed last", () => {
    const history = new FailureHistory(10_000);
    history.add(failure(1, 3));
    history.progressed();
    history.add(failure(2, 1));
    history.add(failure(3, 0));
    expect(history.first).toMatchObject({ nodeRank: 1, atMs: 2 });
  });

  it("counts restarts within the window only, and failures of a node until it takes a step", () => {
    const history = new FailureHistory(10_000);
    for (const atMs of [0, 4000, 9000]) history.restarted(atMs);
    expect([9000, 10_000, 10_001, 19_001].map((nowMs) => history.restarts(nowMs))).toEqual([3, 3, 2, 0]);
    history.add(failure(1, 2));
    history.add(failure(2, 2));
    expect([history.inARow(2), history.inARow(0)]).toEqual([2, 0]);
    history.progressed();
    expect(history.inARow(2)).toBe(0);
  });
});
