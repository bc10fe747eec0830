import { Deferred, unlessAborted } from "../../shared/deferred.ts";
import { CoordError } from "../../shared/errors.ts";
import type {
  CollectiveService,
  ContributeHeader,
  ContributeRequest,
  EvaluateRequest,
  FetchRequest,
  RoundKey,
  TokenLoss as TokenLossMessage,
} from "../../shared/gen/coord/v1/collective_pb.ts";
import { ChunkAssembler, checkDigest, cutIntoChunks } from "../../shared/rpc/chunks.ts";
import type { CallContext, Handlers } from "../../shared/rpc/server.ts";
import { BufferPool } from "../../shared/tensors/bufferPool.ts";
import { bytesOfFloat32, float32OfBytes } from "../../shared/tensors/bytes.ts";
import type { Generation } from "../membership/generation.ts";
import type { TrainingSession } from "../membership/trainingSession.ts";
import { LossSum, type TokenLoss } from "./lossSum.ts";
import { Round } from "./round.ts";
import type { SharedRegions } from "./sharedRegions.ts";

/** A gradient longer than this is refused before memory is taken for it, in bytes. */
const maxGradientBytes = 1024 ** 3;

/** Gradients of one round whose memory is kept for the next. */
const maxSpareGradients = 8;

/** All-reduce and held-out loss over the slots of a run. */
export class Collective {
  readonly handlers: Handlers<typeof CollectiveService> = {
    contribute: (requests, context) => this.#contribute(requests, context),
    fetch: (request, context) => this.#fetch(request, context),
    evaluate: (request, context) => this.#evaluate(request, context),
  };
  readonly #memory = new BufferPool(maxSpareGradients);
  #canShare = true;
  readonly #shared = new WeakMap<Round, Promise<boolean>>();
  #round: { generation: Generation; step: number; round: Round } | undefined;
  #evaluation: { generation: Generation; step: number; losses: LossSum; total: Deferred<TokenLoss> } | undefined;

  constructor(
    private readonly session: () => TrainingSession,
    private readonly options: {
      readonly slots: number;
      readonly groupSize: number;
      /** Present where workers of this host may hand gradients over in shared memory. */
      readonly regions?: SharedRegions | undefined;
      /** Hears why a sum could not be left in shared memory; it went over gRPC. */
      onNotShared?(thrown: unknown): void;
      /** A slot's gradient or loss cannot be used; the sentence says whose and where. */
      onNotFinite(step: number, sentence: string): void;
      onEvaluation(step: number, loss: TokenLoss): void;
    },
  ) {}

  /** What is known of the round that `step` was made of, which is over: its gradients are let go. */
  takeResult(step: number): { readonly loss: TokenLoss; readonly inputTokens: number } {
    const current = this.#round;
    const totals = current?.step === step ? current.round.totals : undefined;
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
        if (header.regionKey === "") assembler = new ChunkAssembler(bytes);
      } else if (part.case === "chunk" && assembler) {
        assembler.add(part.value);
      } else {
        throw new CoordError("INVALID_REQUEST", "An upload must be one header and then chunks.");
      }
    }
    context.signal.throwIfAborted();
    if (!header || !bytes) throw new CoordError("INVALID_REQUEST", "An upload came without a header.");
    const digest = await (assembler?.digest() ?? this.#readRegion(header, bytes));
    // The membership may have changed while the bytes came in.
    const generation = this.#admit(header);
    checkDigest(digest, header.digest, `The gradient of slot ${header.slot}`);
    if (header.notFinite !== "") this.#reportNotFinite(generation, header);
    this.#roundFor(generation, header.key!).add({
      slot: header.slot,
      digest: header.digest,
      gradient: float32OfBytes(bytes),
      loss: lossOf(header.loss),
      inputTokens: Number(header.inputTokens),
    });
    return {};
  }

  async *#fetch(request: FetchRequest, context: CallContext) {
    const key = request.key!;
    const generation = this.#checkKey(key);
    this.session().memberOf(generation, request.member!);
    const round = this.#roundFor(generation, key);
    const { signal } = generation.controller;
    const { bytes, digest, loss } = await unlessAborted(round.result, signal, context.signal);
    const inRegion = request.regionKey !== "" && (await unlessAborted(this.#share(round, generation), signal));
    yield {
      part: {
        case: "header" as const,
        value: {
          bytes: BigInt(bytes.byteLength),
          digest,
          loss: { sum: loss.sum, tokens: BigInt(loss.tokens) },
          inRegion,
        },
      },
    };
    if (inRegion) return;
    for (const chunk of cutIntoChunks(bytes)) yield { part: { case: "chunk" as const, value: chunk } };
  }

  /** Fills `bytes` from the region of a contribution's sender. */
  async #readRegion({ member, regionKey }: ContributeHeader, bytes: Uint8Array): Promise<bigint> {
    const { regions } = this.options;
    if (regions?.key !== regionKey) {
      throw new CoordError("INVALID_REQUEST", "The caller does not share this coordinator's memory.");
    }
    return regions.readGradient(member!, bytes);
  }

  /** Writes a round's sum into shared memory, once; false where that cannot be done, and from then on. */
  #share(round: Round, { number }: Generation): Promise<boolean> {
    let shared = this.#shared.get(round);
    if (!shared) {
      shared = this.#writeSum(round, number).catch((thrown: unknown) => {
        this.#canShare = false;
        this.options.onNotShared?.(thrown);
        return false;
      });
      this.#shared.set(round, shared);
    }
    return shared;
  }

  async #writeSum(round: Round, generation: bigint): Promise<boolean> {
    const { regions } = this.options;
    if (!regions || !this.#canShare) return false;
    await regions.writeSum(generation, (await round.result).bytes);
    return true;
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

  #reportNotFinite(generation: Generation, { key, member, notFinite, slot }: ContributeHeader): void {
    const { host, rank, workerId } = this.session().memberOf(generation, member!);
    const what = notFinite === "loss" ? "The loss" : "The gradient";
    const where = notFinite === "loss" ? "" : `, first in ${notFinite}`;
    this.options.onNotFinite(
      Number(key!.step),
      `${what} of slot ${slot} (rank ${rank}, worker ${workerId} on ${host}) is NaN or infinite at step ${key!.step}${where}.`,
    );
  }

  /** Refuses a contribution before any memory is taken for it. */
  #admit(header: ContributeHeader): Generation {
    const generation = this.#checkKey(header.key!);
    const member = this.session().memberOf(generation, header.member!);
    this.#checkSlot(generation, member.workerId, header.slot);
    if (header.bytes > BigInt(maxGradientBytes) || header.bytes % 4n !== 0n) {
      throw new CoordError(
        "LIMIT_EXCEEDED",
        `A gradient of ${header.bytes} bytes is over the limit of ${maxGradientBytes} or not a multiple of 4.`,
      );
    }
    if (header.loss && !Number.isFinite(header.loss.sum)) {
      throw new CoordError("INVALID_REQUEST", `The loss of slot ${header.slot} came as ${header.loss.sum}.`);
    }
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

  #roundFor(generation: Generation, key: RoundKey): Round {
    const step = Number(key.step);
    if (this.#round?.generation !== generation || this.#round.step !== step) {
      const { slots, groupSize } = this.options;
      const release = (gradient: Float32Array) => this.#memory.give(bytesOfFloat32(gradient));
      this.#round = { generation, step, round: new Round(slots, groupSize, release) };
    }
    return this.#round.round;
  }
}

function lossOf(message: TokenLossMessage | undefined): TokenLoss {
  return { sum: message?.sum ?? 0, tokens: Number(message?.tokens ?? 0n) };
}
