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

  it("names the worker that holds other parameters than the rest, before the last vote is in", () => {
    expect(tallyVotes(members, votes(5n, 6n))).toMatchObject({ kind: "diverged" });
    const tally = tallyVotes(members, votes(5n, 6n, 5n));
    expect(tally).toMatchObject({ kind: "diverged", reason: expect.stringContaining("worker 0/1 holds other") });
  });
});
