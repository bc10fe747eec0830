import { describe, expect, it } from "vitest";
import { tallyVotes } from "../../../../coordinator/membership/tallyVotes.ts";

const members = ["0/0", "0/1", "1/0"].map((workerId) => ({ workerId }));
const votes = (...digests: bigint[]) =>
  new Map(digests.map((parametersDigest, index) => [members[index]!.workerId, { parametersDigest }]));

describe("tallyVotes", () => {
  it("is pending until every member has voted", () => {
    expect(tallyVotes(members, votes(5n, 5n))).toEqual({ kind: "pending" });
  });

  it("is unanimous when all members hold the same parameters", () => {
    expect(tallyVotes(members, votes(5n, 5n, 5n))).toEqual({ kind: "unanimous" });
  });

  it("names the worker that holds other parameters than the rest, once all votes are in", () => {
    expect(tallyVotes(members, votes(5n, 6n))).toEqual({ kind: "pending" });
    expect(tallyVotes(members, votes(5n, 6n, 5n))).toMatchObject({
      kind: "diverged",
      outvoted: ["0/1"],
      reason: expect.stringContaining("worker 0/1 holds other"),
    });
  });

  it("outvotes nobody without a majority", () => {
    expect(tallyVotes(members, votes(5n, 6n, 7n))).toMatchObject({ kind: "diverged", outvoted: [] });
    expect(tallyVotes(members.slice(1), votes(5n, 6n, 6n))).toMatchObject({ kind: "unanimous" });
    const two = new Map([...votes(5n, 6n)]);
    expect(tallyVotes(members.slice(0, 2), two)).toMatchObject({ kind: "diverged", outvoted: [] });
  });
});
