import { describe, expect, it } from "vitest";
import { type DirectoryState, decideCommit } from "../../../../shared/checkpoint/commitRule.ts";

const empty: DirectoryState = { otherRun: undefined, newestGeneration: undefined, occupant: { state: "nothing" } };
const valid = (generation: bigint, sameBytes: boolean): DirectoryState => ({
  ...empty,
  newestGeneration: generation,
  occupant: { state: "valid", generation, sameBytes },
});

describe("decideCommit", () => {
  it.each<[string, bigint, DirectoryState, object]>([
    ["commits into a free place", 1n, empty, { action: "commit" }],
    [
      "moves a damaged checkpoint aside, saying what is wrong with it",
      1n,
      { ...empty, occupant: { state: "damaged", reason: "x is missing" } },
      { action: "quarantine", reason: expect.stringContaining("x is missing") },
    ],
    ["replaces one of an earlier generation", 2n, valid(1n, false), { action: "replace" }],
    [
      "replaces one of an earlier generation with the same bytes, so that it is the newest",
      2n,
      valid(1n, true),
      { action: "replace" },
    ],
    ["keeps the same checkpoint", 1n, valid(1n, true), { action: "keep" }],
    ["refuses other bytes in the same generation", 1n, valid(1n, false), { action: "refuse", code: "DIVERGED" }],
    ["refuses a writer that has been replaced", 1n, valid(2n, true), { action: "refuse", code: "STALE_GENERATION" }],
    [
      "refuses a directory of another run, also where its generation is lower",
      9n,
      { ...empty, otherRun: "a", newestGeneration: undefined },
      { action: "refuse", code: "OUTPUT_IN_USE", reason: expect.stringContaining("run a") },
    ],
  ])("%s", (_, generation, directory, expected) => {
    expect(decideCommit(generation, directory)).toMatchObject(expected);
  });
});
