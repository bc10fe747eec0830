import type { MessageInitShape } from "@bufbuild/protobuf";
import { AsyncQueue } from "../../shared/asyncQueue.ts";
import { type JoinRequest, type JoinResponseSchema, WorkerPhase } from "../../shared/gen/coord/v1/membership_pb.ts";
import type { Candidate } from "./formGeneration.ts";

/** What a member is told to do. */
export type Assignment = MessageInitShape<typeof JoinResponseSchema>;

/** Who calls, as every request says. */
export interface Caller {
  readonly runId: string;
  readonly workerId: string;
  readonly incarnation: string;
}

/** One connected worker. */
export interface Member extends Candidate {
  readonly incarnation: string;
  readonly pid: number;
  readonly host: string;
  /** The committed step first, then one that it has voted for. */
  heldSteps: readonly number[];
  phase: WorkerPhase;
  step: number;
  lastSeenMs: number;
  residentBytes: number;
  /** When its last vote came. */
  votedMs: number;
  /** Undefined while it is not in a generation. */
  rank: number | undefined;
  readonly assignments: AsyncQueue<Assignment>;
}

export function createMember(request: JoinRequest, nowMs: number): Member {
  const { workerId, incarnation } = request.member!;
  const pending = request.pendingStep > 0n ? [Number(request.pendingStep)] : [];
  return {
    workerId,
    incarnation,
    nodeRank: request.nodeRank,
    localRank: request.localRank,
    pid: request.pid,
    host: request.host,
    heldSteps: request.hasState ? [Number(request.step), ...pending] : [],
    phase: WorkerPhase.WAITING,
    step: Number(request.step),
    lastSeenMs: nowMs,
    residentBytes: 0,
    votedMs: 0,
    rank: undefined,
    assignments: new AsyncQueue(),
  };
}
