import { describe, expect, it } from "vitest";
import { decideStaleJob } from "../../../../coordinator/stale/decideStaleJob.ts";

describe("decideStaleJob", () => {
  it("finds a job whose coordinator is gone, or whose run has ended long ago", () => {
    expect(decideStaleJob({ phase: "going", coordinator: "gone" })).toContain("its coordinator is gone");
    const ended = { exitCode: 0, ageMs: 120_000 };
    expect(decideStaleJob({ phase: "going", coordinator: "gone", result: ended })).toContain("the run has ended");
  });

  it.each([
    ["waits in the queue", { phase: "waiting", coordinator: "gone" }],
    ["is over", { phase: "over", coordinator: "gone" }],
    ["has a coordinator", { phase: "going", coordinator: "alive" }],
    ["has one that is about to listen", { phase: "going", coordinator: "absent" }],
    ["has one that cannot be asked from here", { phase: "going", coordinator: "unknown" }],
    ["is just ending", { phase: "going", coordinator: "gone", result: { exitCode: 0, ageMs: 1000 } }],
    ["is about to queue again", { phase: "going", coordinator: "gone", result: { exitCode: 75, ageMs: 1e6 } }],
  ] as const)("leaves a job alone that %s", (_, observed) => {
    expect(decideStaleJob(observed)).toBeUndefined();
  });
});
