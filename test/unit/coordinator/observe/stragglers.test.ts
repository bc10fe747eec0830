import { describe, expect, it } from "vitest";
import { findStragglers, type RankTimes, splitWait } from "../../../../coordinator/observe/stragglers.ts";

const times = (change: Partial<RankTimes> = {}): RankTimes => ({
  dataMs: 1,
  computeMs: 100,
  waitMs: 0,
  reduceMs: 10,
  updateMs: 1,
  ...change,
});
const workers = (...all: RankTimes[]) => new Map(all.map((one, rank) => [`0/${rank}`, one]));

describe("the split of the exchange", () => {
  it("calls what a worker waits for the slowest the wait, and the rest the exchange", () => {
    const [fast, slow] = splitWait([
      { dataMs: 0, computeMs: 100, reduceMs: 60, updateMs: 1 },
      { dataMs: 10, computeMs: 140, reduceMs: 10, updateMs: 1 },
    ]);
    expect(fast).toMatchObject({ waitMs: 50, reduceMs: 10 });
    expect(slow).toMatchObject({ waitMs: 0, reduceMs: 10 });
  });

  it("never calls more the wait than the exchange has taken", () => {
    const [fast] = splitWait([
      { dataMs: 0, computeMs: 1, reduceMs: 5, updateMs: 1 },
      { dataMs: 0, computeMs: 90, reduceMs: 5, updateMs: 1 },
    ]);
    expect(fast).toMatchObject({ waitMs: 5, reduceMs: 0 });
  });
});

describe("stragglers", () => {
  it("are none where all are about as fast", () => {
    expect(findStragglers(workers(times(), times({ computeMs: 110 }), times({ computeMs: 95 })))).toEqual(new Map());
  });

  it("are none among workers that differ by less than the noise", () => {
    expect(findStragglers(workers(times({ computeMs: 2 }), times({ computeMs: 4 })))).toEqual(new Map());
  });

  it("are found with the part that takes longer than the median worker's", () => {
    const found = findStragglers(workers(times(), times({ computeMs: 300 }), times(), times({ dataMs: 80 })));
    expect(found).toEqual(
      new Map([
        ["0/1", "its passes take 300 ms, the median worker's 100 ms"],
        ["0/3", "it waits 80 ms for its samples, the median worker 1.0 ms"],
      ]),
    );
  });

  it("are found among two workers, and not in a run of one", () => {
    expect([...findStragglers(workers(times(), times({ computeMs: 200 }))).keys()]).toEqual(["0/1"]);
    expect(findStragglers(workers(times({ computeMs: 200 })))).toEqual(new Map());
  });
});
