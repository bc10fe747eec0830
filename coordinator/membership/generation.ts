import { setMaxListeners } from "node:events";
import { Deferred } from "../../shared/deferred.ts";
import { type CommitStepRequest, StateSource } from "../../shared/gen/coord/v1/membership_pb.ts";
import type { Formation } from "./formGeneration.ts";
import type { Assignment, Member } from "./member.ts";

/** The decision that a generation can be formed. */
export type Formed = Formation & { readonly kind: "form" };

/** The members of one generation; everything in flight hangs on `controller`. */
export interface Generation {
  readonly number: bigint;
  /** By rank. */
  readonly members: readonly Member[];
  readonly slotsOf: ReadonlyMap<string, readonly number[]>;
  readonly controller: AbortController;
  readonly votes: Map<string, CommitStepRequest>;
  /** Resolves when the step in work commits; replaced at each commit. */
  outcome: Deferred<void>;
}

/** What is asked of the members at a step before they go on. */
export interface Dues {
  /** The state at this step is to become a checkpoint. */
  readonly save: boolean;
  readonly evaluate: boolean;
  readonly finish: boolean;
}

/** The generation that a decision stands for, nothing voted for yet. */
export function createGeneration(number: bigint, formation: Formed, members: ReadonlyMap<string, Member>): Generation {
  const controller = new AbortController();
  // Every call of every member in flight listens to it.
  setMaxListeners(0, controller.signal);
  return {
    number,
    members: formation.members.map(({ workerId }) => members.get(workerId)!),
    slotsOf: new Map(formation.members.map(({ slots, workerId }) => [workerId, slots])),
    controller,
    votes: new Map(),
    outcome: new Deferred(),
  };
}

/** What each member is told to do first, by rank. */
export function assignmentsOf(
  formation: Formed,
  { due, number, plan, step }: Pick<Assignment, "plan"> & { number: bigint; step: number; due: Dues },
): Assignment[] {
  const uploader = formation.uploader ?? formation.members[0]!.workerId;
  const uploads = formation.uploader !== undefined || due.save;
  return formation.members.map(({ rank, slots, stateSource, workerId }) => ({
    generation: number,
    rank,
    worldSize: formation.members.length,
    slots: [...slots],
    step: BigInt(step),
    stateSource: stateSources[stateSource],
    uploadState: uploads && workerId === uploader,
    evaluate: due.evaluate,
    finish: due.finish,
    ...(plan ? { plan } : {}),
  }));
}

const stateSources = {
  initialize: StateSource.INITIALIZE,
  keep: StateSource.KEEP,
  download: StateSource.DOWNLOAD,
} as const;
