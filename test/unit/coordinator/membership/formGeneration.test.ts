import { describe, expect, it } from "vitest";
import { type FormationState, formGeneration } from "../../../../coordinator/membership/formGeneration.ts";

const worker = (nodeRank: number, localRank: number, ...heldSteps: number[]) => ({
  workerId: `${nodeRank}/${localRank}`,
  nodeRank,
  localRank,
  heldSteps,
});

const atStart: FormationState = {
  candidates: [worker(1, 0), worker(0, 1), worker(0, 0), worker(1, 1)],
  worldSize: 4,
  minSize: 4,
  overdue: false,
  slots: 4,
  step: 0,
  stateFromSeed: true,
  coordinatorHoldsState: false,
};

describe("formGeneration", () => {
  it("waits, and says for how many, while workers are missing", () => {
    const formation = formGeneration({ ...atStart, candidates: atStart.candidates.slice(1) });
    expect(formation).toEqual({ kind: "wait", reason: "Waiting for workers: 3 of 4 are here." });
  });

  it("goes on without the missing ones when they have had their time and enough are left", () => {
    const candidates = atStart.candidates.slice(2);
    const late = { ...atStart, candidates, minSize: 2, overdue: true };
    expect(formGeneration({ ...late, overdue: false }).kind).toBe("wait");
    expect(formGeneration({ ...late, minSize: 3 }).kind).toBe("wait");
    const formation = formGeneration(late);
    expect(formation).toMatchObject({ kind: "form", reason: "The 2 workers that are left of 4 are ready at step 0." });
    expect(formation.kind === "form" && formation.members.map(({ slots }) => slots)).toEqual([
      [0, 1],
      [2, 3],
    ]);
  });

  it("ranks workers by node, then by place on the node, whatever the order they came in", () => {
    const formation = formGeneration(atStart);
    expect(formation.kind === "form" && formation.members).toEqual([
      { workerId: "0/0", rank: 0, slots: [0], stateSource: "initialize" },
      { workerId: "0/1", rank: 1, slots: [1], stateSource: "initialize" },
      { workerId: "1/0", rank: 2, slots: [2], stateSource: "initialize" },
      { workerId: "1/1", rank: 3, slots: [3], stateSource: "initialize" },
    ]);
  });

  it("has a worker that holds the state hand it to one that has just been started", () => {
    const candidates = [worker(0, 0), worker(0, 1, 7), worker(1, 0, 7), worker(1, 1, 7)];
    const formation = formGeneration({ ...atStart, candidates, step: 7, stateFromSeed: false });
    expect(formation).toMatchObject({ kind: "form", uploader: "0/1" });
    expect(formation.kind === "form" && formation.members.map((member) => member.stateSource)).toEqual([
      "download",
      "keep",
      "keep",
      "keep",
    ]);
  });

  it("asks nobody for the state when the coordinator holds it", () => {
    const state = { ...atStart, step: 7, stateFromSeed: false, coordinatorHoldsState: true };
    const formation = formGeneration(state);
    expect(formation.kind === "form" && formation.uploader).toBeUndefined();
    expect(formation.kind === "form" && formation.members.every((m) => m.stateSource === "download")).toBe(true);
  });

  it("takes a step that a worker voted for without learning the outcome as held", () => {
    const candidates = [worker(0, 0, 6, 7), worker(0, 1, 7), worker(1, 0, 7), worker(1, 1, 7)];
    const formation = formGeneration({ ...atStart, candidates, step: 7, stateFromSeed: false });
    expect(formation.kind === "form" && formation.members[0]?.stateSource).toBe("keep");
  });

  it("does not take an older state for the current one", () => {
    const candidates = [worker(0, 0, 6), worker(0, 1, 6), worker(1, 0, 5), worker(1, 1)];
    const formation = formGeneration({ ...atStart, candidates, step: 7, stateFromSeed: false });
    expect(formation).toEqual({ kind: "state-lost", reason: "No worker holds the state at step 7 any more." });
  });
});
