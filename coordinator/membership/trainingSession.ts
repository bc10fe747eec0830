import type { MessageInitShape } from "@bufbuild/protobuf";
import { AsyncQueue } from "../../shared/asyncQueue.ts";
import type { Clock } from "../../shared/clock.ts";
import { Deferred, unlessAborted } from "../../shared/deferred.ts";
import { assertNever, CoordError } from "../../shared/errors.ts";
import {
  type CommitStepRequest,
  type CommitStepResponseSchema,
  type HeartbeatRequest,
  type JoinRequest,
  type JoinResponseSchema,
  LeaveReason,
  type LeaveRequest,
  StateSource,
  WorkerPhase,
} from "../../shared/gen/coord/v1/membership_pb.ts";
import { type Candidate, formGeneration } from "./formGeneration.ts";
import { tallyVotes } from "./tallyVotes.ts";

type Assignment = MessageInitShape<typeof JoinResponseSchema>;
type Directive = MessageInitShape<typeof CommitStepResponseSchema>;

/** One connected worker. */
export interface Member extends Candidate {
  readonly incarnation: string;
  readonly pid: number;
  readonly host: string;
  heldSteps: readonly number[];
  phase: WorkerPhase;
  step: number;
  lastSeenMs: number;
  residentBytes: number;
  rank: number | undefined;
  readonly assignments: AsyncQueue<Assignment>;
}

/** The members of one generation; everything in flight hangs on `controller`. */
export interface Generation {
  readonly number: bigint;
  /** By rank. */
  readonly members: readonly Member[];
  readonly slotsOf: ReadonlyMap<string, readonly number[]>;
  readonly controller: AbortController;
  readonly votes: Map<string, CommitStepRequest>;
  /** Resolves when the next step commits; replaced at each commit. */
  outcome: Deferred<void>;
}

/** What is asked of the members at the current step before they go on. */
interface Dues {
  /** The state at this step is to become a checkpoint. */
  save: boolean;
  evaluate: boolean;
  finish: boolean;
}

export interface SessionEvents {
  /** All members have voted for `step`. Returns what is due at that step. */
  onCommit(step: number, votes: readonly CommitStepRequest[]): { save: boolean; evaluate: boolean; finish: boolean };
  onGeneration(generation: Generation, reason: string): void;
  onMemberLost(member: Member, reason: string): void;
  onWaiting(reason: string): void;
  /** A worker gave up with an error that a restart cannot cure. */
  onFailure(error: CoordError): void;
  /** Nobody holds the state; returns the step of the checkpoint that training goes back to. */
  onStateLost(reason: string): Promise<number>;
  /** True when the coordinator holds the state at `step`. */
  holdsState(step: number): boolean;
}

export interface SessionOptions {
  readonly runId: string;
  readonly worldSize: number;
  readonly plan: NonNullable<Assignment["plan"]>;
  readonly clock: Clock;
  readonly heartbeatTimeoutMs: number;
  /** Step that training starts from, and what is due there. */
  readonly start: { readonly step: number; readonly evaluate: boolean };
  /** True when step 0 can be made from the seed alone. */
  readonly seedable: boolean;
  /** Writes and returns the next generation number, durably. */
  nextGeneration(): bigint;
  readonly events: SessionEvents;
}

/**
 * The one writer of membership, generation and committed step. Decisions are made by pure functions (formGeneration,
 * tallyVotes); this class holds the state and carries them out. All methods run on the event loop without yielding,
 * so no lock is needed.
 */
export class TrainingSession {
  readonly #options: SessionOptions;
  readonly #members = new Map<string, Member>();
  #generation: Generation | undefined;
  #step: number;
  #due: Dues;
  #lastWait = "";
  #recovering = false;
  /** Workers that have left because they were done. */
  readonly #finished = new Set<string>();
  readonly allFinished = new Deferred<void>();
  #waitingSince: number;
  /** The latest start of each place that has joined. */
  readonly #attempts = new Map<string, number>();
  #stopRequested = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#step = options.start.step;
    this.#waitingSince = options.clock.monotonicMs();
    this.#due = { save: false, evaluate: options.start.evaluate, finish: false };
  }

  get step(): number {
    return this.#step;
  }
  get generation(): Generation | undefined {
    return this.#generation;
  }
  get members(): ReadonlyMap<string, Member> {
    return this.#members;
  }
  hasFinished(workerId: string): boolean {
    return this.#finished.has(workerId);
  }
  get saveDue(): boolean {
    return this.#due.save;
  }

  /** The worker's assignments, until it is lost or hangs up. */
  async *join(request: JoinRequest, signal: AbortSignal): AsyncGenerator<Assignment> {
    const caller = request.member!;
    this.#checkRun(caller.runId);
    if (this.#finished.has(caller.workerId)) throw new CoordError("STOPPED", "Training is over.");
    this.#supersede(caller.workerId, request.attempt);
    const member: Member = {
      workerId: caller.workerId,
      incarnation: caller.incarnation,
      nodeRank: request.nodeRank,
      localRank: request.localRank,
      pid: request.pid,
      host: request.host,
      heldSteps: request.hasState ? [Number(request.step), Number(request.pendingStep)].filter(isHeld(request)) : [],
      phase: WorkerPhase.WAITING,
      step: Number(request.step),
      lastSeenMs: this.#options.clock.monotonicMs(),
      residentBytes: 0,
      rank: undefined,
      assignments: new AsyncQueue(),
    };
    this.#members.set(member.workerId, member);
    const hangUp = () => this.#lose(member, "its connection was lost");
    signal.addEventListener("abort", hangUp, { once: true });
    this.#form();
    try {
      yield* member.assignments;
    } finally {
      signal.removeEventListener("abort", hangUp);
      this.#lose(member, "its connection was lost");
    }
  }

  heartbeat(request: HeartbeatRequest): bigint {
    const member = this.requireMember(request.member!);
    member.lastSeenMs = this.#options.clock.monotonicMs();
    member.phase = request.phase;
    member.step = Number(request.step);
    member.residentBytes = Number(request.residentBytes);
    return this.#generation?.number ?? 0n;
  }

  /** Counts a vote; resolves when all members have voted for the step. */
  async commitStep(request: CommitStepRequest): Promise<Directive> {
    const generation = this.currentGeneration(request.generation);
    const member = this.requireMember(request.member!);
    const step = Number(request.step);
    // The reply to a vote that was counted may have been lost: same question, same answer.
    if (step === this.#step) return this.#directive(generation, member);
    if (step !== this.#step + 1) {
      throw new CoordError("INVALID_REQUEST", `A vote for step ${step} came while step ${this.#step + 1} is in work.`);
    }
    const outcome = generation.outcome;
    generation.votes.set(member.workerId, request);
    const tally = tallyVotes(generation.members, generation.votes);
    switch (tally.kind) {
      case "pending":
        break;
      case "diverged": {
        const error = new CoordError("DIVERGED", tally.reason);
        this.#options.events.onFailure(error);
        throw error;
      }
      case "unanimous":
        this.#commit(generation, step);
        break;
      default:
        assertNever(tally);
    }
    await unlessAborted(outcome.promise, generation.controller.signal);
    return this.#directive(generation, member);
  }

  leave(request: LeaveRequest): void {
    const member = this.requireMember(request.member!);
    if (request.reason === LeaveReason.FINISHED && this.#due.finish) {
      this.#finished.add(member.workerId);
      this.#members.delete(member.workerId);
      member.assignments.end();
      if (this.#members.size === 0) this.allFinished.resolve();
      return;
    }
    this.#lose(member, request.reason === LeaveReason.TERMINATED ? "it was asked to end" : "it gave up");
  }

  /** The generation that a request names, if it is the current one. */
  currentGeneration(number: bigint): Generation {
    if (this.#generation?.number !== number) {
      throw new CoordError(
        "STALE_GENERATION",
        `Generation ${number} is over; the current one is ${this.#generation?.number ?? "not formed yet"}.`,
      );
    }
    return this.#generation;
  }

  /** The member of the current generation that a request comes from. */
  memberOf(generation: Generation, caller: { runId: string; workerId: string; incarnation: string }): Member {
    const member = this.requireMember(caller);
    if (!generation.members.includes(member)) {
      throw new CoordError("STALE_GENERATION", `Worker ${caller.workerId} is not in generation ${generation.number}.`);
    }
    return member;
  }

  /** Ends memberships that have been silent for too long. */
  evictSilent(): void {
    const now = this.#options.clock.monotonicMs();
    for (const member of [...this.#members.values()]) {
      const silentMs = now - member.lastSeenMs;
      if (silentMs > this.#options.heartbeatTimeoutMs) {
        this.#lose(member, `it has been silent for ${Math.round(silentMs)} ms`);
      }
    }
  }

  /** Milliseconds that the run has been waiting for workers; 0 while a generation is at work or training is over. */
  get waitingMs(): number {
    return this.#generation || this.#due.finish ? 0 : this.#options.clock.monotonicMs() - this.#waitingSince;
  }

  /** What was due at the current step has been done. */
  saved(): void {
    this.#due.save = false;
  }
  evaluated(): void {
    this.#due.evaluate = false;
  }

  /** Asks for a checkpoint and the end of training after the step in work. */
  requestStop(): void {
    this.#stopRequested = true;
  }

  /** Ends every membership, for good. */
  close(error: CoordError): void {
    this.#abandon(error);
    for (const member of this.#members.values()) member.assignments.fail(error);
    this.#members.clear();
  }

  #commit(generation: Generation, step: number): void {
    const votes = generation.members.map((member) => generation.votes.get(member.workerId)!);
    this.#step = step;
    this.#due = this.#options.events.onCommit(step, votes);
    if (this.#stopRequested) this.#due = { ...this.#due, save: true, finish: true };
    for (const member of generation.members) {
      member.heldSteps = [step];
      member.step = step;
    }
    generation.votes.clear();
    const outcome = generation.outcome;
    generation.outcome = new Deferred();
    outcome.resolve();
  }

  #directive(generation: Generation, member: Member): Directive {
    return {
      evaluate: this.#due.evaluate,
      finish: this.#due.finish,
      uploadState: this.#due.save && generation.members[0] === member,
    };
  }

  #form(): void {
    if (this.#generation || this.#recovering) return;
    const { events, worldSize, plan } = this.#options;
    const formation = formGeneration({
      candidates: [...this.#members.values()],
      worldSize,
      slots: plan.slots!,
      step: this.#step,
      stateFromSeed: this.#options.seedable && this.#step === 0,
      coordinatorHoldsState: events.holdsState(this.#step),
    });
    switch (formation.kind) {
      case "wait":
        if (formation.reason !== this.#lastWait) events.onWaiting(formation.reason);
        this.#lastWait = formation.reason;
        return;
      case "state-lost":
        this.#recover(formation.reason);
        return;
      case "form":
        break;
      default:
        assertNever(formation);
    }
    this.#lastWait = "";
    const members = formation.members.map((plan) => this.#members.get(plan.workerId)!);
    const generation: Generation = {
      number: this.#options.nextGeneration(),
      members,
      slotsOf: new Map(formation.members.map((plan) => [plan.workerId, plan.slots])),
      controller: new AbortController(),
      votes: new Map(),
      outcome: new Deferred(),
    };
    this.#generation = generation;
    events.onGeneration(generation, formation.reason);
    if (this.#stopRequested) this.#due = { save: true, evaluate: false, finish: true };
    for (const memberPlan of formation.members) {
      const member = this.#members.get(memberPlan.workerId)!;
      member.rank = memberPlan.rank;
      const uploader = formation.uploader ?? formation.members[0]!.workerId;
      member.assignments.push({
        generation: generation.number,
        rank: memberPlan.rank,
        worldSize: members.length,
        slots: [...memberPlan.slots],
        step: BigInt(this.#step),
        stateSource: stateSources[memberPlan.stateSource],
        uploadState: member.workerId === uploader && (formation.uploader !== undefined || this.#due.save),
        evaluate: this.#due.evaluate,
        finish: this.#due.finish,
        plan,
      });
    }
  }

  #recover(reason: string): void {
    this.#recovering = true;
    this.#options.events.onStateLost(reason).then(
      (step) => {
        this.#recovering = false;
        this.#step = step;
        this.#due = { save: false, evaluate: false, finish: false };
        this.#form();
      },
      (thrown: unknown) => this.#options.events.onFailure(thrown as CoordError),
    );
  }

  /** Of two processes of one place the later start wins; the other one is told to end, not to try again. */
  #supersede(workerId: string, attempt: number): void {
    if (attempt < (this.#attempts.get(workerId) ?? 0)) {
      throw new CoordError("NOT_A_MEMBER", `Worker ${workerId} has been replaced by a later start of its place.`);
    }
    this.#attempts.set(workerId, attempt);
    const superseded = this.#members.get(workerId);
    if (superseded) this.#lose(superseded, "another process of the same place has joined", "NOT_A_MEMBER");
  }

  #lose(member: Member, reason: string, code: "STALE_GENERATION" | "NOT_A_MEMBER" = "STALE_GENERATION"): void {
    if (this.#members.get(member.workerId) !== member) return;
    this.#members.delete(member.workerId);
    const error = new CoordError(code, `Worker ${member.workerId} is out: ${reason}.`);
    member.assignments.fail(error);
    if (this.#generation?.members.includes(member)) this.#abandon(error);
    this.#options.events.onMemberLost(member, reason);
    this.#form();
  }

  #abandon(error: CoordError): void {
    const generation = this.#generation;
    if (generation) this.#waitingSince = this.#options.clock.monotonicMs();
    this.#generation = undefined;
    for (const member of this.#members.values()) member.rank = undefined;
    generation?.controller.abort(error);
  }

  /** The connected worker that a request comes from. */
  requireMember(caller: { runId: string; workerId: string; incarnation: string }): Member {
    this.#checkRun(caller.runId);
    const member = this.#members.get(caller.workerId);
    if (member?.incarnation !== caller.incarnation) {
      throw new CoordError("STALE_GENERATION", `Worker ${caller.workerId} (${caller.incarnation}) is not a member.`);
    }
    return member;
  }

  #checkRun(runId: string): void {
    if (runId !== this.#options.runId) {
      throw new CoordError(
        "NOT_A_MEMBER",
        `This coordinator serves run ${this.#options.runId}, the caller belongs to run ${runId}.`,
      );
    }
  }
}

const stateSources = {
  initialize: StateSource.INITIALIZE,
  keep: StateSource.KEEP,
  download: StateSource.DOWNLOAD,
} as const;

function isHeld(request: JoinRequest): (step: number, index: number) => boolean {
  return (_step, index) => index === 0 || request.pendingStep > 0n;
}
