import type { Clock } from "../../shared/clock.ts";
import { CoordError } from "../../shared/errors.ts";
import type { HeartbeatRequest, JoinRequest } from "../../shared/gen/coord/v1/membership_pb.ts";
import { type Caller, createMember, type Member } from "./member.ts";

/** How a membership ended. */
export type Loss = "hung up" | "silent" | "superseded" | "diverged" | "left";

/**
 * Part of the heartbeat timeout that a member may be silent for beyond it. A network that was gone for just the timeout
 * is heard of at TCP's next retransmission (200 ms doubled: up to 6.2 s after the loss of 5 s), and beats are a second apart.
 */
const leniency = 0.6;

export interface RegistryOptions {
  readonly runId: string;
  readonly nodes: number;
  readonly gpus: number;
  readonly clock: Clock;
  /** Silence that a member survives, in milliseconds; after twice as long it is lost. */
  readonly heartbeatTimeoutMs: number;
  /** The member is out, and the registry has forgotten it already. */
  onLost(member: Member, loss: Loss, reason: string): void;
}

/** The workers that are connected: at most one per place, and the latest start of each. */
export class MemberRegistry {
  readonly #options: RegistryOptions;
  readonly #members = new Map<string, Member>();
  /** The latest start of each place that has joined. */
  readonly #attempts = new Map<string, number>();

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /** By worker id. */
  get members(): ReadonlyMap<string, Member> {
    return this.#members;
  }

  /** Takes a worker in. Of two processes of one place the later start wins; the other is told to end, not to try again. */
  add(request: JoinRequest): Member {
    const { gpus, nodes } = this.#options;
    const { workerId } = request.member!;
    this.#checkRun(request.member!);
    if (request.nodeRank >= nodes || request.localRank >= gpus) {
      throw new CoordError(
        "NOT_A_MEMBER",
        `The run has no place ${workerId}: it has ${nodes} nodes of ${gpus} workers.`,
      );
    }
    if (request.attempt < (this.#attempts.get(workerId) ?? 0)) {
      throw new CoordError("NOT_A_MEMBER", `Worker ${workerId} has been replaced by a later start of its place.`);
    }
    this.#attempts.set(workerId, request.attempt);
    const superseded = this.#members.get(workerId);
    if (superseded) this.lose(superseded, "superseded", "another process of the same place has joined");
    const member = createMember(request, this.#options.clock.monotonicMs());
    this.#members.set(workerId, member);
    return member;
  }

  /** The connected worker that a request comes from. Throws STALE_GENERATION. */
  require(caller: Caller): Member {
    this.#checkRun(caller);
    const member = this.#members.get(caller.workerId);
    if (member?.incarnation !== caller.incarnation) {
      throw new CoordError("STALE_GENERATION", `Worker ${caller.workerId} (${caller.incarnation}) is not a member.`);
    }
    return member;
  }

  heartbeat(request: HeartbeatRequest): void {
    const member = this.require(request.member!);
    member.lastSeenMs = this.#options.clock.monotonicMs();
    member.phase = request.phase;
    member.step = Number(request.step);
    member.residentBytes = Number(request.residentBytes);
  }

  /** Lets a member go that has done its work. */
  release(member: Member): void {
    this.#members.delete(member.workerId);
    member.assignments.end();
  }

  /** Ends a membership; does nothing if it has ended already. */
  lose(member: Member, loss: Loss, reason: string): void {
    if (this.#members.get(member.workerId) !== member) return;
    this.#members.delete(member.workerId);
    // Who holds other parameters than the rest must not come back with them.
    const code = loss === "superseded" || loss === "diverged" ? "NOT_A_MEMBER" : "STALE_GENERATION";
    member.assignments.fail(new CoordError(code, `Worker ${member.workerId} is out: ${reason}.`));
    this.#options.onLost(member, loss, reason);
  }

  /** Ends memberships that have been silent for too long. */
  evictSilent(): void {
    const now = this.#options.clock.monotonicMs();
    const allowedMs = (1 + leniency) * this.#options.heartbeatTimeoutMs;
    for (const member of [...this.#members.values()]) {
      const silentMs = now - member.lastSeenMs;
      if (silentMs > allowedMs) {
        this.lose(member, "silent", `it has been silent for ${Math.round(silentMs)} ms`);
      }
    }
  }

  /** Ends every membership, for good. */
  close(error: CoordError): void {
    for (const member of this.#members.values()) member.assignments.fail(error);
    this.#members.clear();
  }

  #checkRun({ runId }: Caller): void {
    if (runId !== this.#options.runId) {
      throw new CoordError(
        "NOT_A_MEMBER",
        `This coordinator serves run ${this.#options.runId}, the caller belongs to run ${runId}.`,
      );
    }
  }
}
