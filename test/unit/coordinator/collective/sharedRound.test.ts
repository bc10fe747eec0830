import { describe, expect, it } from "vitest";
import { type SharedPart, SharedRound } from "../../../../coordinator/collective/sharedRound.ts";

const part = (rank: number, change: Partial<SharedPart> = {}): SharedPart => ({
  rank,
  bytes: 8,
  stages: 2,
  slots: [{ slot: rank, loss: { sum: rank + 1, tokens: 1 }, inputTokens: 3 }],
  ...change,
});
const report = (value: number) => ({ written: [Uint8Array.of(value)], summed: Uint8Array.of(value + 10) });

describe("SharedRound", () => {
  it("holds members at the end of a stage until all are there, and tells all what all have done", async () => {
    const round = new SharedRound(2, 2);
    round.join(part(1));
    const early = round.arrive(1, 0, report(1));
    round.join(part(0));
    const expected = {
      kind: "done",
      written: [Uint8Array.of(0), Uint8Array.of(1)],
      summed: [Uint8Array.of(10), Uint8Array.of(11)],
    };
    expect(await round.arrive(0, 0, report(0))).toEqual(expected);
    expect(await early).toEqual(expected);
    expect(round.complete).toBe(false);
    await Promise.all([round.arrive(0, 1, report(0)), round.arrive(1, 1, report(1))]);
    expect(round.complete).toBe(true);
    expect(round.totals).toEqual({ loss: { sum: 3, tokens: 2 }, inputTokens: 6 });
  });

  it("sends all another way when one member goes it, those who wait and those who come", async () => {
    const round = new SharedRound(3, 3);
    round.join(part(0));
    const waiting = round.arrive(0, 0, report(0));
    round.decline("worker 2/0 does not share its memory");
    const declined = { kind: "declined", reason: "worker 2/0 does not share its memory" };
    expect(await waiting).toEqual(declined);
    round.join(part(1));
    expect(await round.arrive(1, 0, report(1))).toEqual(declined);
  });

  it("sends nobody another way once the sum is there", async () => {
    const round = new SharedRound(1, 1);
    round.join(part(0, { stages: 1 }));
    await round.arrive(0, 0, report(0));
    expect(() => round.decline("too late")).toThrow(expect.objectContaining({ code: "DAMAGED" }));
  });

  it("refuses members that disagree about the vector, and a member that comes twice", () => {
    const round = new SharedRound(2, 2);
    round.join(part(0));
    expect(() => round.join(part(0))).toThrow(expect.objectContaining({ code: "INVALID_REQUEST" }));
    expect(() => round.join(part(1, { bytes: 12 }))).toThrow(expect.objectContaining({ code: "DIVERGED" }));
  });
});
