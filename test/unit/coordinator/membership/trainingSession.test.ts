import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import type { Dues } from "../../../../coordinator/membership/generation.ts";
import type { Assignment } from "../../../../coordinator/membership/member.ts";
import { TrainingSession } from "../../../../coordinator/membership/trainingSession.ts";
import type { CoordError } from "../../../../shared/errors.ts";
import {
  CommitStepRequestSchema,
  HeartbeatRequestSchema,
  JoinRequestSchema,
  LeaveReason,
  LeaveRequestSchema,
  StateSource,
  WorkerPhase,
} from "../../../../shared/gen/coord/v1/membership_pb.ts";

const runId = "r";
const nothing: Dues = { save: false, evaluate: false, finish: false };

/** A session of one node with two workers, whose clock, dues and events are in the test's hands. */
function setUp(options: { step?: number; adopt?: boolean; dues?: (step: number) => Dues; held?: boolean } = {}) {
  const told: string[] = [];
  const failures: CoordError[] = [];
  let nowMs = 0;
  let generation = 0n;
  const session = new TrainingSession({
    runId,
    nodes: 1,
    gpus: 2,
    worldSize: 2,
    plan: { slots: 2, groupSize: 2 },
    clock: { monotonicMs: () => nowMs, wallMs: () => 0, sleep: async () => {} },
    heartbeatTimeoutMs: 5000,
    start: { step: options.step ?? 0, seedable: (options.step ?? 0) === 0, adopt: options.adopt ?? false },
    nextGeneration: () => ++generation,
    events: {
      duesAt: options.dues ?? (() => nothing),
      onCommit: (step) => told.push(`commit ${step}`),
      onGeneration: ({ number }) => told.push(`generation ${number}`),
      onMemberLost: ({ workerId }, _loss, reason) => told.push(`lost ${workerId}: ${reason}`),
      onWaiting: () => {},
      onAdopted: (step) => told.push(`adopted ${step}`),
      onFailure: (error) => failures.push(error),
      onStateLost: async () => 0,
      holdsState: () => options.held ?? false,
    },
  });
  const member = (localRank: number, incarnation = `i${localRank}`) => ({
    runId,
    workerId: `0/${localRank}`,
    incarnation,
  });

  /** Joins and collects the assignments that come. */
  function join(
    localRank: number,
    request: { incarnation?: string; attempt?: number; step?: number; pending?: number } = {},
  ) {
    const assignments: Assignment[] = [];
    const hangUp = new AbortController();
    let ended: unknown;
    const stream = session.join(
      create(JoinRequestSchema, {
        member: member(localRank, request.incarnation),
        localRank,
        attempt: request.attempt ?? 0,
        hasState: request.step !== undefined,
        step: BigInt(request.step ?? 0),
        pendingStep: BigInt(request.pending ?? 0),
      }),
      hangUp.signal,
    );
    const reading = (async () => {
      for await (const assignment of stream) assignments.push(assignment);
    })().catch((thrown: unknown) => {
      ended = thrown;
    });
    return { assignments, hangUp, reading, error: () => ended as CoordError };
  }

  const vote = (localRank: number, step: number, of: bigint, digest = 7n) =>
    session.commitStep(
      create(CommitStepRequestSchema, {
        member: member(localRank),
        generation: of,
        step: BigInt(step),
        parametersDigest: digest,
      }),
    );
  const beat = (localRank: number) =>
    session.heartbeat(create(HeartbeatRequestSchema, { member: member(localRank), phase: WorkerPhase.COMPUTING }));
  const leave = (localRank: number, of: bigint) =>
    session.leave(
      create(LeaveRequestSchema, { member: member(localRank), generation: of, reason: LeaveReason.FINISHED }),
    );
  return { session, told, failures, join, vote, beat, leave, advance: (ms: number) => (nowMs += ms) };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("TrainingSession", () => {
  it("forms a generation when all workers are here, each with its rank and slots", async () => {
    const { join, told } = setUp();
    const one = join(1);
    await settled();
    expect(one.assignments).toEqual([]);
    const zero = join(0);
    await settled();
    expect(told).toEqual(["generation 1"]);
    expect(zero.assignments).toMatchObject([
      { rank: 0, slots: [0], generation: 1n, stateSource: StateSource.INITIALIZE },
    ]);
    expect(one.assignments).toMatchObject([{ rank: 1, slots: [1], generation: 1n }]);
  });

  it("commits a step when all have voted, and answers a repeated vote the same way", async () => {
    const { join, vote, told, session } = setUp();
    join(0);
    join(1);
    await settled();
    const first = vote(0, 1, 1n);
    await settled();
    expect(session.step).toBe(0);
    await Promise.all([first, vote(1, 1, 1n)]);
    expect(session.step).toBe(1);
    await vote(0, 1, 1n);
    expect(told).toEqual(["generation 1", "commit 1"]);
  });

  it("refuses votes of another generation, for another step and of strangers, and changes nothing", async () => {
    const { join, vote, session } = setUp();
    join(0);
    join(1);
    await settled();
    await expect(vote(0, 1, 2n)).rejects.toMatchObject({ code: "STALE_GENERATION" });
    await expect(vote(0, 5, 1n)).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    await expect(vote(7, 1, 1n)).rejects.toMatchObject({ code: "STALE_GENERATION" });
    expect(session.step).toBe(0);
    expect(session.generation?.votes.size).toBe(0);
  });

  it("fails the run when members hold different parameters after the same step", async () => {
    const { join, vote, failures } = setUp();
    join(0);
    join(1);
    await settled();
    vote(0, 1, 1n).catch(() => {});
    await expect(vote(1, 1, 1n, 8n)).rejects.toMatchObject({ code: "DIVERGED" });
    expect(failures).toHaveLength(1);
  });

  it("ends the generation when a worker hangs up, and goes on in the next one with the survivor's state", async () => {
    const { join, vote, told, session } = setUp();
    join(0);
    const one = join(1);
    await settled();
    await Promise.all([vote(0, 1, 1n), vote(1, 1, 1n)]);
    const pending = vote(0, 2, 1n);
    one.hangUp.abort();
    await expect(pending).rejects.toMatchObject({ code: "STALE_GENERATION" });
    const again = join(1, { incarnation: "new", attempt: 1 });
    await settled();
    expect(told).toContain("lost 0/1: its connection was lost");
    expect(again.assignments).toMatchObject([{ generation: 2n, step: 1n, stateSource: StateSource.DOWNLOAD }]);
    expect(session.members.get("0/0")?.rank).toBe(0);
  });

  it("evicts a worker before it has been silent for twice the timeout, not right after it, and only that one", async () => {
    const { join, beat, advance, session, told } = setUp();
    join(0);
    join(1);
    await settled();
    advance(7500);
    session.evictSilent();
    expect(session.members.size).toBe(2);
    beat(0);
    advance(1000);
    session.evictSilent();
    expect(told).toContain("lost 0/1: it has been silent for 8500 ms");
    expect([...session.members.keys()]).toEqual(["0/0"]);
  });

  it("lets the later start of a place win, and tells the earlier one not to try again", async () => {
    const { join } = setUp();
    const first = join(0, { incarnation: "first", attempt: 0 });
    await settled();
    join(0, { incarnation: "second", attempt: 1 });
    await first.reading;
    expect(first.error()).toMatchObject({ code: "NOT_A_MEMBER" });
    const returning = join(0, { incarnation: "first", attempt: 0 });
    await returning.reading;
    expect(returning.error()).toMatchObject({ code: "NOT_A_MEMBER" });
  });

  it("tells the others of a replaced worker only that the generation is over", async () => {
    const { join, vote } = setUp();
    join(0);
    join(1);
    await settled();
    const waiting = vote(0, 1, 1n);
    join(1, { incarnation: "second", attempt: 1 });
    await expect(waiting).rejects.toMatchObject({ code: "STALE_GENERATION" });
  });

  it("refuses workers of another run, and places that the run does not have", async () => {
    const { join, session } = setUp();
    const outside = join(2);
    await outside.reading;
    expect(outside.error()).toMatchObject({ code: "NOT_A_MEMBER" });
    expect(session.members.size).toBe(0);
  });

  it("takes over the step of the workers that a dead coordinator has left behind", async () => {
    const { join, told, session } = setUp({ step: 100, adopt: true, held: true });
    const zero = join(0, { step: 146, pending: 147 });
    const one = join(1, { step: 147 });
    await settled();
    expect(told).toEqual(["adopted 147", "generation 1"]);
    expect(session.step).toBe(147);
    expect([zero, one].map(({ assignments }) => assignments[0]?.stateSource)).toEqual([
      StateSource.KEEP,
      StateSource.KEEP,
    ]);
  });

  it("goes back to the checkpoint that was asked for, whatever the workers hold", async () => {
    const { join, session } = setUp({ step: 100, adopt: false, held: true });
    const zero = join(0, { step: 147 });
    join(1, { step: 147 });
    await settled();
    expect(session.step).toBe(100);
    expect(zero.assignments[0]?.stateSource).toBe(StateSource.DOWNLOAD);
  });

  it("asks for a checkpoint and the end after the step in work when the user stops the run", async () => {
    const { join, vote, session } = setUp();
    join(0);
    join(1);
    await settled();
    session.requestStop();
    const [zero, one] = await Promise.all([vote(0, 1, 1n), vote(1, 1, 1n)]);
    expect(zero).toEqual({ evaluate: false, finish: true, uploadState: true });
    expect(one).toEqual({ evaluate: false, finish: true, uploadState: false });
  });

  it("ends training at the step that was just evaluated, and tells all in a new generation", async () => {
    const { join, vote, session } = setUp({ dues: (step) => ({ ...nothing, evaluate: step === 1 }) });
    const zero = join(0);
    const one = join(1);
    await settled();
    await Promise.all([vote(0, 1, 1n), vote(1, 1, 1n)]);
    session.evaluated();
    session.finishHere();
    await settled();
    expect(zero.assignments[1]).toMatchObject({ generation: 2n, step: 1n, uploadState: true, finish: true });
    expect(one.assignments[1]).toMatchObject({ generation: 2n, step: 1n, uploadState: false, finish: true });
    expect(session.step).toBe(1);
  });

  it("holds workers that are done until the last state is safe: one of them may have to hand it over", async () => {
    const { join, vote, leave, session } = setUp({
      dues: (step) => ({ ...nothing, save: step > 0, finish: step > 0 }),
    });
    join(0);
    const one = join(1);
    await settled();
    await Promise.all([vote(0, 1, 1n), vote(1, 1, 1n)]);
    const leaving = leave(1, 1n);
    let left = false;
    leaving.then(() => (left = true));
    await settled();
    expect(left).toBe(false);
    session.saved();
    await leaving;
    await one.reading;
    await leave(0, 1n);
    await session.allFinished.promise;
    expect(session.hasFinished("0/1")).toBe(true);
  });
});
