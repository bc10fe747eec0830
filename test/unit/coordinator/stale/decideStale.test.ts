import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decideStale,
  type ObservedProcess,
  type RunOwner,
  type StaleObservations,
  startingMs,
} from "../../../../coordinator/stale/decideStale.ts";
import { type ProcessRecord, processRoles } from "../../../../shared/process/record.ts";

const self = { pid: 500, ancestors: [400, 300, 1], uid: 1000, home: "/home/ann/.coord" };
const owners = new Map<string, RunOwner>([
  ["dead", "gone"],
  ["live", "alive"],
  ["remote", "unknown"],
]);

const orphan: ObservedProcess = {
  identity: { pid: 700, startTime: "1000", bootId: "boot" },
  ownerUid: 1000,
  runId: "dead",
  home: self.home,
  entry: "worker",
  sameNamespace: true,
  ageMs: 60_000,
};

const recordOf = (process: ObservedProcess): ProcessRecord => ({
  runId: process.runId ?? "dead",
  role: process.entry ?? "worker",
  startedAtMs: 0,
  user: "ann",
  identity: process.identity,
});

function decide(
  processes: readonly ObservedProcess[],
  records: readonly ProcessRecord[] = [],
  more: Partial<StaleObservations> = {},
) {
  return decideStale(records, { self, processes, owners, allRuns: false, ...more });
}

const actionOf = (process: Partial<ObservedProcess>, record?: ProcessRecord, more: Partial<StaleObservations> = {}) =>
  decide([{ ...orphan, ...process }], record ? [record] : [], more)[0]!.action;

describe("decideStale", () => {
  it("ends agents and workers of a dead run, with or without a record", () => {
    expect(decide([orphan])[0]).toMatchObject({
      action: "end",
      role: "worker",
      reason: "the coordinator of run dead is gone",
    });
    expect(actionOf({ entry: undefined }, recordOf(orphan))).toBe("end");
    expect(actionOf({ entry: undefined, home: undefined }, recordOf(orphan))).toBe("end");
    expect(actionOf({ entry: "agent", ageMs: 0 })).toBe("end");
  });

  it("leaves live runs alone, and runs whose coordinator is not on record here", () => {
    expect(actionOf({ runId: "live" })).toBe("spare");
    expect(actionOf({ runId: "remote" })).toBe("spare");
    expect(actionOf({ runId: "never heard of" })).toBe("spare");
  });

  it("gives a coordinator that has just started time to take its run over", () => {
    expect(actionOf({ entry: "coordinator", ageMs: startingMs - 1 })).toBe("spare");
    expect(actionOf({ entry: "coordinator", ageMs: startingMs })).toBe("end");
  });

  it("ends live runs when all are asked for, and still nothing that is not provably ours", () => {
    const all = { allRuns: true };
    expect(actionOf({ runId: "live" }, undefined, all)).toBe("end");
    expect(actionOf({ runId: "remote" }, undefined, all)).toBe("end");
    for (const strange of [
      { ownerUid: 0 },
      { runId: undefined },
      { home: "/other" },
      { entry: undefined },
      { sameNamespace: false },
    ]) {
      expect(actionOf(strange, undefined, all)).toBe("spare");
    }
  });

  it("looks at one run only when one is named", () => {
    expect(actionOf({}, undefined, { runId: "dead" })).toBe("end");
    expect(actionOf({}, undefined, { runId: "other" })).toBe("spare");
    expect(actionOf({ runId: "live" }, undefined, { runId: "dead", allRuns: true })).toBe("spare");
  });

  it("does not believe a record against the process's own environment", () => {
    expect(actionOf({ runId: "dead" }, { ...recordOf(orphan), runId: "live" })).toBe("spare");
    expect(actionOf({ runId: undefined, home: undefined }, recordOf(orphan))).toBe("spare");
  });

  it("ends nothing wrong over a thousand forged records", () => {
    const strange: fc.Arbitrary<Partial<ObservedProcess>> = fc.oneof(
      fc.constantFrom<Partial<ObservedProcess>>(
        { runId: "live" },
        { runId: "remote" },
        { runId: undefined },
        { ownerUid: 0 },
        { ownerUid: undefined },
        { home: "/home/bob/.coord" },
        { sameNamespace: false },
      ),
      fc.constantFrom(1, self.pid, ...self.ancestors).map((pid) => ({ identity: { ...orphan.identity, pid } })),
    );
    const forged = fc.record({
      process: strange,
      role: fc.constantFrom(...processRoles),
      entry: fc.constantFrom(...processRoles, undefined),
      claims: fc.constantFrom("dead", "live", "remote"),
      allRuns: fc.constant(false),
    });
    fc.assert(
      fc.property(forged, ({ process, role, entry, claims }) => {
        const observed = { ...orphan, entry, ...process };
        const record = { ...recordOf(observed), role, runId: claims };
        expect(decide([observed], [record]).map(({ action }) => action)).toEqual(["spare"]);
      }),
      { numRuns: 1000 },
    );
  });

  it("gives no weight to records of PIDs that others have now", () => {
    // The process with that PID is unrelated: same run id in its environment, but none of our programs.
    const unrelated = { ...orphan, entry: undefined };
    const reused = fc.record({
      startTime: fc.string({ minLength: 1 }).filter((text) => text !== orphan.identity.startTime),
      bootId: fc.constantFrom("boot", "another boot"),
      role: fc.constantFrom(...processRoles),
    });
    fc.assert(
      fc.property(reused, ({ startTime, bootId, role }) => {
        const identity = { pid: orphan.identity.pid, startTime, bootId };
        const [decision] = decide([unrelated], [{ ...recordOf(orphan), role, identity }]);
        expect(decision).toMatchObject({ action: "spare", role: undefined });
      }),
      { numRuns: 1000 },
    );
  });

  it("says why of every process", () => {
    const decisions = decide([orphan, { ...orphan, runId: "live" }, { ...orphan, ownerUid: 0 }]);
    expect(decisions.map(({ reason }) => reason)).toEqual([
      "the coordinator of run dead is gone",
      "run live is live",
      "it is another user's",
    ]);
  });
});
