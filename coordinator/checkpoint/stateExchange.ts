import type { TrainingState } from "../../shared/checkpoint/trainingState.ts";
import { Deferred, unlessAborted } from "../../shared/deferred.ts";
import { CoordError } from "../../shared/errors.ts";
import { failpoint } from "../../shared/failpoint.ts";
import type {
  CheckpointService,
  GetStateRequest,
  PutStateHeader,
  PutStateRequest,
} from "../../shared/gen/coord/v1/checkpoint_pb.ts";
import type { CallContext, Handlers } from "../../shared/rpc/server.ts";
import { encodeState, StateAssembler } from "../../shared/rpc/stateTransfer.ts";
import type { Generation } from "../membership/generation.ts";
import type { TrainingSession } from "../membership/trainingSession.ts";

/**
 * Holds at most one training state: the newest that a member has uploaded or a checkpoint has given. Members that join
 * download it; a checkpoint is written from it.
 */
export class StateExchange {
  readonly handlers: Handlers<typeof CheckpointService> = {
    putState: (requests, context) => this.#put(requests, context),
    getState: (request, context) => this.#get(request, context),
  };
  #state: TrainingState | undefined;
  #arrival = new Deferred<void>();

  constructor(
    private readonly session: () => TrainingSession,
    /** Called for each state that a member has uploaded, before the member's next vote; `signal` ends with the call. */
    private readonly onState: (state: TrainingState, generation: Generation, signal: AbortSignal) => Promise<void>,
  ) {}

  holds(step: number): boolean {
    return this.#state?.step === step;
  }

  hold(state: TrainingState): void {
    this.#state = state;
    this.#arrival.resolve();
    this.#arrival = new Deferred();
  }

  async #put(requests: AsyncIterable<PutStateRequest>, context: CallContext) {
    let header: PutStateHeader | undefined;
    let assembler: StateAssembler | undefined;
    for await (const { part } of requests) {
      if (part.case === "header" && !header) {
        header = part.value;
        this.#admit(header);
        assembler = new StateAssembler(header.state!);
        failpoint("state-arriving", Number(header.state!.step), "coordinator");
      } else if (part.case === "chunk" && assembler) {
        assembler.add(part.value);
      } else {
        throw new CoordError("INVALID_REQUEST", "A state must be one header and then chunks.");
      }
    }
    if (!header || !assembler) throw new CoordError("INVALID_REQUEST", "A state came without a header.");
    const state = assembler.complete();
    const generation = this.#admit(header);
    this.hold(state);
    await this.onState(state, generation, context.signal);
    return {};
  }

  #admit(header: PutStateHeader): Generation {
    const session = this.session();
    const generation = session.currentGeneration(header.state!.generation);
    session.memberOf(generation, header.member!);
    if (Number(header.state!.step) !== session.step) {
      throw new CoordError(
        "INVALID_REQUEST",
        `A state at step ${header.state!.step} came while the run is at step ${session.step}.`,
      );
    }
    return generation;
  }

  async *#get(request: GetStateRequest, context: CallContext) {
    const session = this.session();
    const generation = session.currentGeneration(request.generation);
    session.memberOf(generation, request.member!);
    while (!this.holds(session.step)) {
      await unlessAborted(this.#arrival.promise, generation.controller.signal, context.signal);
    }
    for await (const part of encodeState(this.#state!, generation.number)) yield { part };
  }
}
