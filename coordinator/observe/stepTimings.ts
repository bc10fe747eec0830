import type { CommitStepRequest } from "../../shared/gen/coord/v1/membership_pb.ts";
import type { Member } from "../membership/member.ts";
import { findStragglers, type RankTimes, splitWait } from "./stragglers.ts";

/** A stretch of one rank's time. */
export interface ProfiledSpan {
  readonly rank: number;
  readonly nodeRank: number;
  readonly name: string;
  /** Of the coordinator's monotonic clock. */
  readonly startMs: number;
  readonly durationMs: number;
}

export interface ProfiledStep {
  readonly step: number;
  readonly spans: readonly ProfiledSpan[];
}

/** About the last ten steps count. */
const decay = 0.9;

/** Steps before anybody is called slow: the first ones warm caches up. */
const warmUpSteps = 5;

/** Where the time of each worker's steps goes, from what the workers say with their votes. */
export class StepTimings {
  readonly #means = new Map<string, RankTimes>();
  readonly #followers = new Set<(step: ProfiledStep) => void>();
  #stragglers: ReadonlyMap<string, string> = new Map();
  #steps = 0;

  /** Counts a committed step; `votes[i]` is that of `members[i]`. */
  commit(step: number, members: readonly Member[], votes: readonly CommitStepRequest[]): void {
    const split = splitWait(votes.map(({ times }) => ({ ...noTimes, ...timesOf(times) })));
    for (const [rank, times] of split.entries()) {
      const { workerId } = members[rank]!;
      this.#means.set(workerId, blend(this.#means.get(workerId), times));
    }
    const present = new Set(members.map(({ workerId }) => workerId));
    for (const workerId of this.#means.keys()) if (!present.has(workerId)) this.#means.delete(workerId);
    this.#steps++;
    if (this.#steps > warmUpSteps) this.#stragglers = findStragglers(this.#means);
    if (this.#followers.size === 0) return;
    const profiled = { step, spans: members.flatMap((member, rank) => spansOf(member, rank, votes[rank]!)) };
    for (const follower of this.#followers) follower(profiled);
  }

  times(workerId: string): RankTimes | undefined {
    return this.#means.get(workerId);
  }

  /** Why the others wait for a worker; empty when they do not. */
  straggling(workerId: string): string {
    return this.#stragglers.get(workerId) ?? "";
  }

  /** Calls `follower` for each step to come, until the returned function is called. */
  follow(follower: (step: ProfiledStep) => void): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }
}

const noTimes = { dataMs: 0, computeMs: 0, reduceMs: 0, updateMs: 0 };

function timesOf(times: CommitStepRequest["times"]) {
  if (!times) return noTimes;
  const { computeMs, dataMs, reduceMs, updateMs } = times;
  return { dataMs, computeMs, reduceMs, updateMs };
}

function blend(before: RankTimes | undefined, now: RankTimes): RankTimes {
  if (before === undefined) return now;
  const mean = (field: keyof RankTimes) => decay * before[field] + (1 - decay) * now[field];
  return {
    dataMs: mean("dataMs"),
    computeMs: mean("computeMs"),
    waitMs: mean("waitMs"),
    reduceMs: mean("reduceMs"),
    updateMs: mean("updateMs"),
  };
}

/** The stretches that a worker has told, laid out backwards from the arrival of its vote. */
function spansOf({ nodeRank, votedMs }: Member, rank: number, { times }: CommitStepRequest): ProfiledSpan[] {
  const spans = times?.spans ?? [];
  let startMs = votedMs - spans.reduce((total, { durationMs }) => total + durationMs, 0);
  return spans.map(({ durationMs, name }) => {
    const span = { rank, nodeRank, name, startMs, durationMs };
    startMs += durationMs;
    return span;
  });
}
