import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Collective } from "../../../../coordinator/collective/collectiveService.ts";
import { TrainingSession } from "../../../../coordinator/membership/trainingSession.ts";
import { CoordError } from "../../../../shared/errors.ts";
import { ContributeRequestSchema, EvaluateRequestSchema } from "../../../../shared/gen/coord/v1/collective_pb.ts";
import {
  CommitStepRequestSchema,
  JoinRequestSchema,
  LeaveReason,
  LeaveRequestSchema,
} from "../../../../shared/gen/coord/v1/membership_pb.ts";

const runId = "r";
const current = 7n;
const members = ["0/0", "0/1"];

/** A generation at work, numbered 7, whose members have committed nothing yet. */
async function generationAtWork() {
  const told: string[] = [];
  const tell = (what: string) => () => void told.push(what);
  const session: TrainingSession = new TrainingSession({
    ...{ runId, nodes: 1, gpus: 2, worldSize: 2, heartbeatTimeoutMs: 5000 },
    plan: { slots: 2, groupSize: 2 },
    clock: { monotonicMs: () => 0, wallMs: () => 0, sleep: async () => {} },
    start: { step: 0, seedable: true, adopt: false },
    nextGeneration: () => current,
    events: {
      duesAt: () => ({ save: false, evaluate: false, finish: false }),
      onCommit: tell("commit"),
      onGeneration: () => {},
      onMemberLost: tell("lost"),
      onWaiting: () => {},
      onAdopted: tell("adopted"),
      onFailure: tell("failure"),
      onStateLost: async () => 0,
      holdsState: () => false,
    },
  });
  const collective = new Collective(() => session, {
    ...{ slots: 2, groupSize: 2, format: "float32" as const },
    onNotFinite: tell("not finite"),
    onEvaluation: tell("evaluation"),
  });
  for (const [localRank, workerId] of members.entries()) {
    const member = { runId, workerId, incarnation: `now ${workerId}` };
    const assignments = session.join(create(JoinRequestSchema, { member, localRank }), new AbortController().signal);
    void assignments.next();
  }
  await new Promise((resolve) => setImmediate(resolve));
  expect(session.generation?.number).toBe(current);
  return { session, collective, told };
}

const uint64 = fc.bigInt(0n, 2n ** 64n - 1n);
const strangers = fc.record({
  call: fc.constantFrom("vote", "contribute", "evaluate", "leave"),
  workerId: fc.constantFrom(...members, "0/2", "1/0", ""),
  // Either the generation is another one, or the process is not the member that it says it is.
  who: fc.oneof(
    fc.record({ generation: uint64.filter((number) => number !== current), incarnation: fc.constant("now") }),
    fc.record({ generation: fc.constantFrom(0n, current - 1n, current + 1n), incarnation: fc.constant("now") }),
    fc.record({ generation: fc.constant(current), incarnation: fc.constantFrom("before", "", "now 0/9") }),
  ),
  step: fc.oneof(fc.constant(1n), uint64),
  slot: fc.nat({ max: 3 }),
});

describe("messages of a generation that is over or not there yet, and of processes that are not members", () => {
  it("are refused, ten thousand of them, and change nothing", async () => {
    const { collective, session, told } = await generationAtWork();
    const context = { signal: new AbortController().signal };
    const codes = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(strangers, async ({ call, slot, step, who, workerId }) => {
        const { generation } = who;
        const incarnation = who.incarnation === "now" ? `now ${workerId}` : who.incarnation;
        const member = { runId, workerId, incarnation };
        const send = async (): Promise<unknown> => {
          switch (call) {
            case "vote":
              return session.commitStep(create(CommitStepRequestSchema, { member, generation, step }));
            case "evaluate":
              return collective.handlers.evaluate(
                create(EvaluateRequestSchema, { member, generation, step: 0n, slot }),
                context,
              );
            case "leave": {
              // A member may say goodbye at any time; strangers may not, whatever generation they name.
              const reason = LeaveReason.FINISHED;
              const stranger = { ...member, incarnation: `not ${incarnation}` };
              return session.leave(create(LeaveRequestSchema, { member: stranger, generation, reason }));
            }
            default: {
              const header = { member, key: { generation, step, bucket: 0 }, slot, bytes: 4n, digest: 1n };
              const message = create(ContributeRequestSchema, { part: { case: "header", value: header } });
              const requests = (async function* () {
                yield message;
              })();
              return collective.handlers.contribute(requests, context);
            }
          }
        };
        const refusal = await send().then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        if (!(refusal instanceof CoordError)) throw new Error(`${call} was not refused: ${String(refusal)}`);
        codes.set(refusal.code, (codes.get(refusal.code) ?? 0) + 1);
      }),
      { numRuns: 10_000 },
    );
    // A stranger that names the current generation and a step that is not in work is refused for the step.
    expect([...codes.keys()].sort()).toEqual(["INVALID_REQUEST", "STALE_GENERATION"]);
    expect(codes.get("STALE_GENERATION")! + codes.get("INVALID_REQUEST")!).toBe(10_000);
    expect(told).toEqual([]);
    expect(session.step).toBe(0);
    expect(session.generation?.votes.size).toBe(0);
    expect([...session.members.keys()]).toEqual(members);
  });
});
