import type { MessageInitShape } from "@bufbuild/protobuf";
import { Deferred, unlessAborted } from "../../shared/deferred.ts";
import { CoordError } from "../../shared/errors.ts";
import type {
  CollectiveService,
  ContributeHeader,
  ContributeRequest,
  EvaluateRequest,
  FetchRequest,
  ReduceHeader,
  ReduceRequest,
  ReduceResponseSchema,
  RoundKey,
  TokenLoss as TokenLossMessage,
} from "../../shared/gen/coord/v1/collective_pb.ts";
import { fromBfloat16, type WireFormat, wireLength } from "../../shared/kernels/wireFormat.ts";
import { ChunkAssembler, checkDigest, cutIntoChunks } from "../../shared/rpc/chunks.ts";
import type { CallContext, Handlers } from "../../shared/rpc/server.ts";
import { BufferPool } from "../../shared/tensors/bufferPool.ts";
import { bytesOfFloat32, float32OfBytes } from "../../shared/tensors/bytes.ts";
import type { Generation } from "../membership/generation.ts";
import type { TrainingSession } from "../membership/trainingSession.ts";
import { LossSum, type TokenLoss } from "./lossSum.ts";
import { Round } from "./round.ts";
import type { SharedRegions } from "./sharedRegions.ts";
import { SharedRound } from "./sharedRound.ts";

/** A gradient longer than this is refused before memory is taken for it, in bytes. */
const maxGradientBytes = 1024 ** 3;

/** Gradients of one round whose memory is kept for the next. */
const maxSpareGradients = 8;

/** All-reduce and held-out loss over the slots of a run. */
export class Collective {
  readonly handlers: Handlers<typeof CollectiveService> = {
    contribute: (requests, context) => this.#contribute(requests, context),
    fetch: (request, context) => this.#fetch(request, context),
    reduce: (requests, context) => this.#reduce(requests, context),
    evaluate: (request, context) => this.#evaluate(request, context),
  };
  readonly #memory = new BufferPool(maxSpareGradients);
  #round: { generation: Generation; step: number; round: Round; shared: SharedRound } | undefined;
  #evaluation: { generation: Generation; step: number; losses: LossSum; total: Deferred<TokenLoss> } | undefined;

  constructor(
    private readonly session: () => TrainingSession,
    private readonly options: {
      readonly slots: number;
      readonly groupSize: number;
      readonly format: WireFormat;
      /** Present where workers of this host may sum gradients in shared memory. */
      readonly regions?: Pick<SharedRegions, "key"> | undefined;
      /** A slot's gradient or loss cannot be used; the sentence says whose and where. */
      onNotFinite(step: number, sentence: string): void;
      onEvaluation(step: number, loss: TokenLoss): void;
    },
  ) {}

  /** What is known of the round that `step` was made of, which is over: its gradients are let go. */
  takeResult(step: number): { readonly loss: TokenLoss; readonly inputTokens: number } {
    const current = this.#round;
    const totals = current?.step === step ? (current.round.totals ?? current.shared.totals) : undefined;
    if (!totals) throw new CoordError("INTERNAL", `Step ${step} was voted for but never summed.`);
    this.#round = undefined;
    // Members vote for a step when they have its sum: nobody who matters reads it any more.
    current?.round.discard();
    return totals;
  }

  async #contribute(requests: AsyncIterable<ContributeRequest>, context: CallContext) {
    let header: ContributeHeader | undefined;
    let bytes: Uint8Array | undefined;
    let assembler: ChunkAssembler | undefined;
    for await (const { part } of requests) {
      if (part.case === "header" && !header) {
        header = part.value;
        this.#admit(header);
        bytes = this.#memory.take(Number(header.bytes));
        assembler = new ChunkAssembler(bytes);
      } else if (part.case === "chunk" && assembler) {
        assembler.add(part.value);
      } else {
        throw new CoordError("INVALID_REQUEST", "An upload must be one header and then chunks.");
      }
    }
    context.signal.throwIfAborted();
    if (!header || !bytes || !assembler) {
      throw new CoordError("INVALID_REQUEST", "An upload came without a header.");
    }
    const digest = assembler.digest();
    // The membership may have changed while the bytes came in.
    const generation = this.#admit(header);
    checkDigest(digest, header.digest, `The gradient of slot ${header.slot}`);
    this.#reportNotFinite(generation, header);
    this.#roundFor(generation, header.key!).round.add({
      slot: header.slot,
      digest: header.digest,
      gradient: this.#gradientOf(bytes),
      loss: lossOf(header.loss),
      inputTokens: Number(header.inputTokens),
    });
    return {};
  }

  /** The vector that has come in `bytes`; takes them over. */
  #gradientOf(bytes: Uint8Array): Float32Array {
    if (this.options.format === "float32") return float32OfBytes(bytes);
    const gradient = fromBfloat16(bytes, float32OfBytes(this.#memory.take(bytes.byteLength * 2)));
    this.#memory.give(bytes);
    return gradient;
  }

  async *#fetch(request: FetchRequest, context: CallContext) {
    const key = request.key!;
    const generation = this.#checkKey(key);
    this.session().memberOf(generation, request.member!);
    const { round } = this.#roundFor(generation, key);
    const { signal } = generation.controller;
    const { bytes, digest, loss } = await unlessAborted(round.result, signal, context.signal);
    yield {
      part: {
        case: "header" as const,
        value: {
          bytes: BigInt(bytes.byteLength),
          digest,
          loss: { sum: loss.sum, tokens: BigInt(loss.tokens) },
        },
      },
    };
    for (const chunk of cutIntoChunks(bytes)) yield { part: { case: "chunk" as const, value: chunk } };
  }

  async *#reduce(requests: AsyncIterable<ReduceRequest>, context: CallContext): AsyncGenerator<StageAnswer> {
    const messages = requests[Symbol.asyncIterator]();
    const first = await messages.next();
    const header = first.done ? undefined : first.value.header;
    if (!header) throw new CoordError("INVALID_REQUEST", "A round in shared memory began without a header.");
    const generation = this.#admitShared(header);
    const rank = this.session().memberOf(generation, header.member!).rank!;
    const { shared } = this.#roundFor(generation, header.key!);
    for (const slot of header.slots) this.#reportNotFinite(generation, { ...header, ...slot });
    shared.join({
      rank,
      bytes: Number(header.bytes),
      stages: header.inPlace ? 0 : header.stages,
      slots: header.slots.map(({ slot, loss, inputTokens }) => ({
        slot,
        loss: lossOf(loss),
        inputTokens: Number(inputTokens),
      })),
    });
    const untilOver = <T>(what: Promise<T>) => unlessAborted(what, generation.controller.signal, context.signal);
    for (let stage = 0, message = first; !message.done; stage++) {
      const { written, summed } = message.value;
      const outcome = await untilOver(shared.arrive(rank, stage, { written, summed }));
      if (outcome.kind === "declined") return yield { declined: outcome.reason };
      const loss = shared.totals!.loss;
      yield {
        written: [...outcome.written],
        summed: [...outcome.summed],
        loss: { sum: loss.sum, tokens: BigInt(loss.tokens) },
      };
      if (shared.complete) return;
      const next = messages.next();
      if (header.inPlace) {
        // Members go on by themselves: the call ends when its caller has the sum, or one of them cannot.
        const reason = await untilOver(Promise.race([next.then(() => ""), shared.declined]));
        return yield* reason === "" ? [] : [{ declined: reason }];
      }
      message = await next;
    }
  }

  async #evaluate(request: EvaluateRequest, context: CallContext) {
    const session = this.session();
    const generation = session.currentGeneration(request.generation);
    const member = session.memberOf(generation, request.member!);
    this.#checkSlot(generation, member.workerId, request.slot);
    const step = Number(request.step);
    if (step !== session.step) {
      throw new CoordError("INVALID_REQUEST", `An evaluation of step ${step} came at step ${session.step}.`);
    }
    if (this.#evaluation?.generation !== generation || this.#evaluation.step !== step) {
      this.#evaluation = { generation, step, losses: new LossSum(this.options.slots), total: new Deferred() };
    }
    const evaluation = this.#evaluation;
    const wasComplete = evaluation.losses.complete;
    evaluation.losses.add({ slot: request.slot, loss: lossOf(request.loss) });
    if (evaluation.losses.complete && !wasComplete) {
      const total = evaluation.losses.total();
      session.evaluated();
      this.options.onEvaluation(step, total);
      evaluation.total.resolve(total);
    }
    const total = await unlessAborted(evaluation.total.promise, generation.controller.signal, context.signal);
    return { loss: { sum: total.sum, tokens: BigInt(total.tokens) } };
  }

  #reportNotFinite(generation: Generation, slot: SlotReport): void {
    if (slot.notFinite === "") return;
    const { host, rank, workerId } = this.session().memberOf(generation, slot.member!);
    const what = slot.notFinite === "loss" ? "The loss" : "The gradient";
    const where = slot.notFinite === "loss" ? "" : `, first in ${slot.notFinite}`;
    const { step } = slot.key!;
    this.options.onNotFinite(
      Number(step),
      `${what} of slot ${slot.slot} (rank ${rank}, worker ${workerId} on ${host}) is NaN or infinite at step ${step}${where}.`,
    );
  }

  /** Refuses a contribution before any memory is taken for it; a round that one comes to goes over gRPC for all. */
  #admit(header: ContributeHeader): Generation {
    const generation = this.#checkKey(header.key!);
    const member = this.session().memberOf(generation, header.member!);
    this.#checkSlot(generation, member.workerId, header.slot);
    checkLoss(header);
    this.#roundFor(generation, header.key!).shared.decline(`worker ${member.workerId} does not share its memory`);
    const elementBytes = wireLength(this.options.format, 1);
    if (header.bytes > BigInt(maxGradientBytes) || header.bytes % BigInt(elementBytes) !== 0n) {
      throw new CoordError(
        "LIMIT_EXCEEDED",
        `A gradient of ${header.bytes} bytes is over the limit of ${maxGradientBytes} or not a multiple of ${elementBytes}.`,
      );
    }
    return generation;
  }

  #admitShared(header: ReduceHeader): Generation {
    const generation = this.#checkKey(header.key!);
    const member = this.session().memberOf(generation, header.member!);
    if (this.options.regions?.key !== header.regionKey) {
      throw new CoordError("INVALID_REQUEST", "The caller does not share this coordinator's memory.");
    }
    const slots = generation.slotsOf.get(member.workerId) ?? [];
    if (header.slots.length !== slots.length || !header.slots.every(({ slot }, index) => slot === slots[index])) {
      throw new CoordError("INVALID_REQUEST", `The slots of worker ${member.workerId} are ${slots}.`);
    }
    for (const slot of header.slots) checkLoss(slot);
    return generation;
  }

  #checkKey(key: RoundKey): Generation {
    const session = this.session();
    const generation = session.currentGeneration(key.generation);
    if (key.bucket !== 0) throw new CoordError("INVALID_REQUEST", `Bucket ${key.bucket} does not exist.`);
    const step = Number(key.step);
    if (step !== session.step + 1) {
      throw new CoordError("INVALID_REQUEST", `Step ${step} is not in work; step ${session.step + 1} is.`);
    }
    return generation;
  }

  #checkSlot(generation: Generation, workerId: string, slot: number): void {
    if (!generation.slotsOf.get(workerId)?.includes(slot)) {
      throw new CoordError("INVALID_REQUEST", `Slot ${slot} is not worker ${workerId}'s.`);
    }
  }

  #roundFor(generation: Generation, key: RoundKey): { readonly round: Round; readonly shared: SharedRound } {
    const step = Number(key.step);
    if (this.#round?.generation !== generation || this.#round.step !== step) {
      const { format, slots, groupSize } = this.options;
      const release = (gradient: Float32Array) => this.#memory.give(bytesOfFloat32(gradient));
      const round = new Round(slots, groupSize, release, format);
      this.#round = { generation, step, round, shared: new SharedRound(generation.members.length, slots) };
    }
    return this.#round;
  }
}

/** What a member is told at the end of a stage. */
type StageAnswer = MessageInitShape<typeof ReduceResponseSchema>;

/** Whose slot it is, and the first of its tensors that cannot be used. */
type SlotReport = Pick<ContributeHeader, "key" | "member" | "slot" | "notFinite">;

/** A loss that is not finite is told by name, not sent as a number. */
function checkLoss({ slot, loss }: { slot: number; loss?: TokenLossMessage | undefined }): void {
  if (loss && !Number.isFinite(loss.sum)) {
    throw new CoordError("INVALID_REQUEST", `The loss of slot ${slot} came as ${loss.sum}.`);
  }
}

function lossOf(message: TokenLossMessage | undefined): TokenLoss {
  return { sum: message?.sum ?? 0, tokens: Number(message?.tokens ?? 0n) };
}
