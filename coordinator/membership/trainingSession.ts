import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Clock } from "../../shared/clock.ts";
import { Deferred, unlessAborted } from "../../shared/deferred.ts";
import { assertNever, CoordError } from "../../shared/errors.ts";
import { failpoint } from "../../shared/failpoint.ts";
import {
  type CommitStepRequest,
  type CommitStepResponseSchema,
  type HeartbeatRequest,
  type JoinRequest,
  LeaveReason,
  type LeaveRequest,
} from "../../shared/gen/coord/v1/membership_pb.ts";
import { formGeneration } from "./formGeneration.ts";
import { assignmentsOf, createGeneration, type Dues, type Formed, type Generation } from "./generation.ts";
import type { Assignment, Caller, Member } from "./member.ts";
import { type Loss, MemberRegistry } from "./memberRegistry.ts";
import { tallyVotes } from "./tallyVotes.ts";

type Directive = MessageInitShape<typeof CommitStepResponseSchema>;

export interface SessionEvents {
  /** What is due at a step, once it is committed. */
  duesAt(step: number): Dues;
  /** All members have voted for `step`. */
  onCommit(step: number, votes: readonly CommitStepRequest[]): void;
  onGeneration(generation: Generation, reason: string): void;
  onMemberLost(member: Member, loss: Loss, reason: string): void;
  onWaiting(reason: string): void;
  /** Workers of an earlier coordinator are further than this one knew; training goes on from `step`. */
  onAdopted(step: number): void;
  /** A worker gave up with an error that a restart cannot cure. */
  onFailure(error: CoordError): void;
  /** Nobody holds the state; returns the step of the checkpoint that training goes back to. */
  onStateLost(reason: string): Promise<number>;
  /** True when the coordinator holds the state at `step`. */
  holdsState(step: number): boolean;
}

/** How few workers may be left, and how many nodes may come. */
export interface SizeLimits {
  readonly minSize: number;
  readonly maxNodes: number;
  /** Time that a missing worker has before the others go on without it, in milliseconds. */
  readonly rejoinTimeoutMs: number;
}

export interface SessionOptions {
  readonly runId: string;
  readonly nodes: number;
  readonly gpus: number;
  /** Workers that the run wants; nodes × gpus unless nodes have fewer than `gpus`. */
  readonly worldSize: number;
  readonly plan: NonNullable<Assignment["plan"]>;
  readonly clock: Clock;
  readonly heartbeatTimeoutMs: number;
  /** Present where the number of workers may change while the run goes on. */
  readonly elasticity?: SizeLimits | undefined;
  readonly start: {
    /** Step that training starts from. */
    readonly step: number;
    /** True when step 0 can be made from the seed alone. */
    readonly seedable: boolean;
    /** True when workers that an earlier coordinator left behind may be further than `step`. */
    readonly adopt: boolean;
  };
  /** Writes and returns the next generation number, durably. */
  nextGeneration(): bigint;
  readonly events: SessionEvents;
}

/**
 * The one writer of generation and committed step. Decisions are made by pure functions (formGeneration, tallyVotes);
 * this class holds the state and carries them out. All changes are made on the event loop without yielding, so no lock
 * is needed.
 */
export class TrainingSession {
  readonly #options: SessionOptions;
  readonly #registry: MemberRegistry;
  #generation: Generation | undefined;
  #step: number;
  #due: Dues;
  /** True until the first generation: only then can workers know more than their coordinator. */
  #adopting: boolean;
  #recovering = false;
  #stopRequested = false;
  #saveRequested = false;
  #waitingSince: number;
  #waitingReason = "";
  /** Members of the newest generation: so many are waited for when it ends. */
  #lastSize: number | undefined;
  /** Workers that have left because they were done. */
  readonly #finished = new Set<string>();
  readonly allFinished = new Deferred<void>();
  #stateSaved = new Deferred<void>();
  #evaluated = new Deferred<void>();

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#step = options.start.step;
    this.#adopting = options.start.adopt;
    this.#waitingSince = options.clock.monotonicMs();
    // What was due at the checkpoint was done before it; at the very start only the held-out loss is.
    const { evaluate } = options.events.duesAt(0);
    this.#due = { save: false, evaluate: evaluate && this.#step === 0, finish: false };
    this.#registry = new MemberRegistry({
      ...options,
      nodes: options.elasticity?.maxNodes ?? options.nodes,
      onLost: (member, loss, reason) => this.#lost(member, loss, reason),
    });
  }

  get step(): number {
    return this.#step;
  }
  get generation(): Generation | undefined {
    return this.#generation;
  }
  get members(): ReadonlyMap<string, Member> {
    return this.#registry.members;
  }
  get saveDue(): boolean {
    return this.#due.save;
  }
  get evaluateDue(): boolean {
    return this.#due.evaluate;
  }
  /** Resolves when the next held-out loss is known. */
  get evaluation(): Promise<void> {
    return this.#evaluated.promise;
  }
  hasFinished(workerId: string): boolean {
    return this.#finished.has(workerId);
  }

  /** Milliseconds that the run has been waiting for workers; 0 while a generation is at work or training is over. */
  get waitingMs(): number {
    return this.#generation || this.#due.finish ? 0 : this.#options.clock.monotonicMs() - this.#waitingSince;
  }

  /** The worker's assignments, until it is lost or hangs up. */
  async *join(request: JoinRequest, signal: AbortSignal): AsyncGenerator<Assignment> {
    if (this.#finished.has(request.member!.workerId)) throw new CoordError("STOPPED", "Training is over.");
    const member = this.#registry.add(request);
    const hangUp = () => this.#registry.lose(member, "hung up", "its connection was lost");
    signal.addEventListener("abort", hangUp, { once: true });
    this.#form();
    try {
      yield* member.assignments;
    } finally {
      signal.removeEventListener("abort", hangUp);
      hangUp();
    }
  }

  heartbeat(request: HeartbeatRequest): bigint {
    this.#registry.heartbeat(request);
    return this.#generation?.number ?? 0n;
  }

  /** Counts a vote; resolves when all members have voted for the step. */
  async commitStep(request: CommitStepRequest): Promise<Directive> {
    const generation = this.currentGeneration(request.generation);
    const member = this.memberOf(generation, request.member!);
    const step = Number(request.step);
    // The reply to a vote that was counted may have been lost: same question, same answer.
    if (step === this.#step) return this.#directive(generation, member);
    if (step !== this.#step + 1) {
      throw new CoordError("INVALID_REQUEST", `A vote for step ${step} came while step ${this.#step + 1} is in work.`);
    }
    const outcome = generation.outcome;
    generation.votes.set(member.workerId, request);
    member.votedMs = this.#options.clock.monotonicMs();
    const tally = tallyVotes(generation.members, generation.votes);
    switch (tally.kind) {
      case "pending":
        break;
      case "diverged": {
        if (tally.outvoted.length === 0) {
          const error = new CoordError("DIVERGED", tally.reason);
          this.#options.events.onFailure(error);
          throw error;
        }
        // The rest agree: their step is run again with replacements, which take the majority's state.
        const { signal } = generation.controller;
        for (const workerId of tally.outvoted)
          this.#registry.lose(this.members.get(workerId)!, "diverged", tally.reason);
        throw signal.reason;
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

  /** Lets a worker go. One that is done is held back until the last state is safe: it may be the one to hand it over. */
  async leave(request: LeaveRequest): Promise<void> {
    // The reply to a goodbye may have been lost.
    if (request.reason === LeaveReason.FINISHED && this.hasFinished(request.member!.workerId)) return;
    const member = this.requireMember(request.member!);
    if (request.reason !== LeaveReason.FINISHED || !this.#due.finish) {
      const reason = request.reason === LeaveReason.TERMINATED ? "it was asked to end" : "it gave up";
      this.#registry.lose(member, "left", reason);
      return;
    }
    const { controller } = this.currentGeneration(request.generation);
    while (this.#due.save) await unlessAborted(this.#stateSaved.promise, controller.signal);
    if (this.members.get(member.workerId) !== member) return;
    this.#registry.release(member);
    this.#finish(member);
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
  memberOf(generation: Generation, caller: Caller): Member {
    const member = this.requireMember(caller);
    if (!generation.members.includes(member)) {
      throw new CoordError("STALE_GENERATION", `Worker ${caller.workerId} is not in generation ${generation.number}.`);
    }
    return member;
  }

  /** The connected worker that a request comes from. */
  requireMember(caller: Caller): Member {
    return this.#registry.require(caller);
  }

  /** To be called now and then: ends memberships that are silent, and waits no longer than it has to. */
  evictSilent(): void {
    this.#registry.evictSilent();
    if (this.#options.elasticity) this.#form();
  }

  /** The checkpoint at the current step is in good hands. */
  saved(): void {
    this.#due = { ...this.#due, save: false };
    this.#stateSaved.resolve();
    this.#stateSaved = new Deferred();
  }

  /** The held-out loss at the current step is known. */
  evaluated(): void {
    this.#due = { ...this.#due, evaluate: false };
    this.#evaluated.resolve();
    this.#evaluated = new Deferred();
  }

  /** Asks for a checkpoint and the end of training after the step in work. */
  requestStop(): void {
    this.#stopRequested = true;
  }

  /**
   * Training is over at the committed step, but for a checkpoint. All are told in a new generation, because those that
   * have evaluated it may be on their way to the next step.
   */
  finishHere(): void {
    this.#stopRequested = true;
    this.#due = this.#withStop(this.#due);
    if (!this.#generation) return;
    this.#abandon(new CoordError("STALE_GENERATION", "Training ends at this step."));
    this.#form();
  }

  /** Asks for a checkpoint after the step in work. */
  requestSave(): void {
    this.#saveRequested = true;
  }

  /** Ends every membership, for good. */
  close(error: CoordError): void {
    this.#abandon(error);
    this.#registry.close(error);
  }

  #commit(generation: Generation, step: number): void {
    const votes = generation.members.map((member) => generation.votes.get(member.workerId)!);
    failpoint("round-complete", step, "coordinator");
    this.#step = step;
    this.#options.events.onCommit(step, votes);
    const dues = this.#options.events.duesAt(step);
    this.#due = this.#withStop({ ...dues, save: dues.save || this.#saveRequested });
    this.#saveRequested = false;
    for (const member of generation.members) {
      member.heldSteps = [step];
      member.step = step;
    }
    failpoint("commit-decided", step, "coordinator");
    generation.votes.clear();
    const outcome = generation.outcome;
    generation.outcome = new Deferred();
    outcome.resolve();
    this.#takeIn(generation);
  }

  /** Lets workers that have come while a generation was at work take part from the next step on. */
  #takeIn(generation: Generation): void {
    if (!this.#options.elasticity || this.#due.finish || this.members.size === generation.members.length) return;
    this.#abandon(new CoordError("STALE_GENERATION", "More workers are here: the slots are dealt anew."));
    this.#form();
  }

  #withStop(dues: Dues): Dues {
    return this.#stopRequested ? { ...dues, save: true, finish: true } : dues;
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
    const { elasticity, events, plan, start } = this.#options;
    const candidates = [...this.members.values()];
    const finished = this.#finished.size;
    const worldSize = (this.#lastSize ?? this.#options.worldSize) - finished;
    const overdue = elasticity !== undefined && this.waitingMs >= elasticity.rejoinTimeoutMs;
    const minSize = elasticity ? Math.max(1, elasticity.minSize - finished) : worldSize;
    if (this.#adopting && candidates.length >= (overdue ? minSize : worldSize)) this.#adoptStep(candidates);
    const formation = formGeneration({
      candidates,
      worldSize,
      minSize,
      overdue,
      slots: plan.slots!,
      step: this.#step,
      stateFromSeed: start.seedable && this.#step === 0,
      coordinatorHoldsState: events.holdsState(this.#step),
    });
    switch (formation.kind) {
      case "wait":
        if (formation.reason !== this.#waitingReason) events.onWaiting(formation.reason);
        this.#waitingReason = formation.reason;
        break;
      case "state-lost":
        this.#recover(formation.reason);
        break;
      case "form":
        this.#begin(formation);
        break;
      default:
        assertNever(formation);
    }
  }

  /** After a crash of the coordinator its workers know best which steps were committed. */
  #adoptStep(candidates: readonly Member[]): void {
    this.#adopting = false;
    const known = Math.max(...candidates.map(({ heldSteps }) => heldSteps[0] ?? 0));
    if (known <= this.#step) return;
    this.#step = known;
    this.#options.events.onAdopted(known);
    this.#due = this.#options.events.duesAt(known);
  }

  #begin(formation: Formed): void {
    const generation = createGeneration(this.#options.nextGeneration(), formation, this.members);
    failpoint("generation-written", this.#step, "coordinator");
    this.#generation = generation;
    this.#lastSize = generation.members.length;
    this.#waitingReason = "";
    this.#due = this.#withStop(this.#due);
    this.#options.events.onGeneration(generation, formation.reason);
    const { number } = generation;
    const { plan } = this.#options;
    const assignments = assignmentsOf(formation, { number, step: this.#step, due: this.#due, plan });
    for (const [rank, member] of generation.members.entries()) {
      member.rank = rank;
      member.assignments.push(assignments[rank]!);
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

  #finish(member: Member): void {
    this.#finished.add(member.workerId);
    if (this.members.size === 0) this.allFinished.resolve();
  }

  #lost(member: Member, loss: Loss, reason: string): void {
    // Nothing is left to do that it would be missed for.
    if (this.#due.finish && !this.#due.save && !this.#due.evaluate) {
      this.#finish(member);
      return;
    }
    if (this.#generation?.members.includes(member)) {
      // For the others it is only the generation that is over, however this one was lost.
      this.#abandon(new CoordError("STALE_GENERATION", `Worker ${member.workerId} is out: ${reason}.`));
    }
    this.#options.events.onMemberLost(member, loss, reason);
    this.#form();
  }

  #abandon(error: CoordError): void {
    const generation = this.#generation;
    if (generation) this.#waitingSince = this.#options.clock.monotonicMs();
    this.#generation = undefined;
    for (const member of this.members.values()) member.rank = undefined;
    generation?.controller.abort(error);
  }
}
