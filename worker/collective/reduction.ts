import { AsyncQueue } from "../../shared/asyncQueue.ts";
import { CoordError } from "../../shared/errors.ts";
import { type Failpoint, failpoint } from "../../shared/failpoint.ts";
import { CollectiveService, type FetchHeader } from "../../shared/gen/coord/v1/collective_pb.ts";
import { kernelMemory } from "../../shared/kernels/kernels.ts";
import { fromBfloat16, toWire, wireLength } from "../../shared/kernels/wireFormat.ts";
import { ChunkAssembler, checkDigest, cutIntoChunks } from "../../shared/rpc/chunks.ts";
import type { Connection } from "../../shared/rpc/client.ts";
import { bytesOfFloat32 } from "../../shared/tensors/bytes.ts";
import { digest64 } from "../../shared/tensors/digest.ts";
import type { Caller, Epoch } from "./coordinatorClient.ts";
import { type BucketPlan, type DataPlane, Declined, type SharedPlan } from "./dataPlane.ts";
import { reduceInPlace } from "./inPlaceRound.ts";
import { receive } from "./receive.ts";
import { repeat } from "./repeat.ts";
import { SharedReduction, type StageReport } from "./sharedReduction.ts";
import type { VectorMemory } from "./vectorMemory.ts";

/** What a member has to work on, and its place among the others. */
export interface Share extends Epoch {
  readonly slots: readonly number[];
  readonly rank: number;
  readonly worldSize: number;
  readonly slotCount: number;
  readonly groupSize: number;
}

export interface SlotGradient {
  readonly slot: number;
  /** Memory that `Reduction.gradient` gave. */
  readonly gradient: Float32Array;
  readonly loss: { readonly sum: number; readonly tokens: number };
  readonly inputTokens: number;
  /** Name of the first tensor that is not finite, or "loss"; absent when all is finite. */
  readonly notFinite?: string;
}

/** What all slots come to. */
export interface Sum {
  readonly gradient: Float32Array;
  readonly loss: { readonly sum: number; readonly tokens: number };
  readonly confirmed: Promise<void>;
}

export interface ReductionOptions {
  readonly caller: Caller;
  readonly step: number;
  readonly share: Share;
  readonly elements: number;
  readonly connections: { readonly control: Connection; readonly upload: Connection; readonly download: Connection };
  readonly plane: DataPlane;
  readonly memory: VectorMemory;
}

/** Transfers of one vector that was damaged on its way each time before the step is begun anew. */
const attempts = 3;

/** The all-reduce of one step, from a worker's side. */
export class Reduction {
  readonly #options: ReductionOptions;
  readonly #plan: SharedPlan | undefined;
  readonly #parts: SlotGradient[] = [];
  #begun = 0;

  constructor(options: ReductionOptions) {
    this.#options = options;
    const { elements, plane, share } = options;
    this.#plan = plane.plan({ ...share, bytes: elements * 4 });
  }

  /** Memory for the gradient of this worker's next slot, all zero; slots come in their order. */
  gradient(): Float32Array {
    const { elements, memory, plane, share } = this.#options;
    const index = this.#begun++;
    if (this.#plan?.kind === "in-place" && plane.format === "float32") {
      const address = this.#plan.round.slots[share.slots[index]!]!;
      return new Float32Array(kernelMemory().buffer, address, elements).fill(0);
    }
    // Over gRPC one gradient is computed while the one before it is on its way.
    return memory.slot(this.#plan ? index : index % 2, elements).fill(0);
  }

  /** Hands the gradient of one slot over; resolves when its memory may be used for the next but one. */
  async add(part: SlotGradient): Promise<void> {
    if (this.#plan) this.#parts.push(part);
    else await this.#contribute(part);
  }

  /**
   * Waits for the sum over all slots. The gradient must not be written to, and is valid until the next step's;
   * `confirmed` resolves when the coordinator knows of the round all that it must for the step to be voted for.
   */
  async sum(): Promise<Sum> {
    const { plane, share } = this.#options;
    if (this.#plan) {
      try {
        return await (this.#plan.kind === "in-place"
          ? this.#reduceInPlace(this.#plan)
          : this.#reduceShared(this.#plan));
      } catch (thrown) {
        plane.failed(thrown, share.generation, share.signal);
      }
      for (const part of this.#parts) await this.#contribute(part);
    }
    return this.#fetch();
  }

  async #reduceInPlace({ round, stages, terms }: SharedPlan & { kind: "in-place" }): Promise<Sum> {
    const { caller, connections, elements, memory, plane, share, step } = this.#options;
    const bfloat16 = plane.format === "bfloat16";
    const sum =
      bfloat16 || stages === 1 ? memory.sum(elements) : new Float32Array(kernelMemory().buffer, round.sum, elements);
    const { confirmed, loss } = await reduceInPlace({
      step,
      stages,
      ...this.#dimensions(),
      bfloat16,
      sum: sum.byteOffset,
      meeting: round.meeting,
      slotRegion: (slot) => round.slots[slot]!,
      sumRegion: round.sum,
      losses: this.#parts,
      header: { ...this.#header(terms.key), inPlace: true },
      control: connections.control,
      signal: share.signal,
      onPoint: (point) => failpoint(point, step, caller.workerId),
    });
    share.signal.throwIfAborted();
    return { gradient: sum, loss, confirmed };
  }

  #header(regionKey: string) {
    return {
      member: this.#options.caller,
      key: this.#key(),
      regionKey,
      bytes: BigInt(this.#options.elements * Float32Array.BYTES_PER_ELEMENT),
      slots: this.#parts.map(({ slot, loss, inputTokens, notFinite = "" }) => ({
        slot,
        notFinite,
        loss: { sum: loss.sum, tokens: BigInt(loss.tokens) },
        inputTokens: BigInt(inputTokens),
      })),
    };
  }

  #dimensions() {
    const { elements, share } = this.#options;
    return {
      rank: share.rank,
      worldSize: share.worldSize,
      slots: share.slotCount,
      groupSize: share.groupSize,
      bytes: elements * Float32Array.BYTES_PER_ELEMENT,
      own: new Map(this.#parts.map(({ slot, gradient }) => [slot, gradient.byteOffset])),
    };
  }

  async #reduceShared({ buckets, regionBytes, regions, terms }: BucketPlan): Promise<Sum> {
    const { caller, connections, elements, memory, plane, share, step } = this.#options;
    const header = { ...this.#header(terms.key), stages: buckets.stages };
    regions.prepare(share.generation, share.slots, regionBytes);
    const requests = new AsyncQueue<object>();
    const call = new AbortController();
    const hangUp = () => call.abort(share.signal.reason);
    share.signal.addEventListener("abort", hangUp, { once: true });
    const responses = connections.control
      .service(CollectiveService)
      .reduce(requests, { signal: call.signal })
      [Symbol.asyncIterator]();
    const at = (point: Failpoint) => failpoint(point, step, caller.workerId);
    const sum = memory.sum(elements);
    let complete = false;
    let loss = { sum: 0, tokens: 0 };
    const barrier = async (
      stage: number,
      mine: { written: Uint8Array[]; summed: Uint8Array },
    ): Promise<StageReport> => {
      at(stage === 0 ? "slots-written" : "share-summed");
      requests.push(stage === 0 ? { header, ...mine } : mine);
      const { done, value } = await responses.next();
      if (done) throw new CoordError("COORDINATOR_UNREACHABLE", "The coordinator left a round unfinished.");
      if (value.declined !== "") throw new Declined(value.declined);
      complete = stage === buckets.stages - 1;
      loss = { sum: value.loss!.sum, tokens: Number(value.loss!.tokens) };
      return value;
    };
    try {
      await new SharedReduction({
        buckets,
        ...this.#dimensions(),
        bfloat16: plane.format === "bfloat16",
        sum: sum.byteOffset,
        slotStore: (slot) => regions.slot(slot),
        sumStore: regions.sum(),
        barrier,
      }).run();
      if (buckets.everybodySums) at("share-summed");
    } catch (cause) {
      // The others have the sum already and vote: only a new generation can bring them back to this step.
      if (complete) throw new CoordError("DAMAGED", `The sum of step ${step} could not be read.`, { cause });
      throw cause;
    } finally {
      share.signal.removeEventListener("abort", hangUp);
      requests.end();
      // After the last answer the coordinator ends the call; a call that is not done is not waited for.
      if (complete) responses.next().catch(() => {});
      else call.abort(new CoordError("STALE_GENERATION", "This worker has left the round."));
    }
    share.signal.throwIfAborted();
    return { gradient: sum, loss, confirmed: Promise.resolve() };
  }

  async #contribute(part: SlotGradient): Promise<void> {
    const { caller, connections, plane, share } = this.#options;
    const bytes = toWire(plane.format, part.gradient, this.#wire());
    const header = {
      member: caller,
      key: this.#key(),
      slot: part.slot,
      bytes: BigInt(bytes.byteLength),
      digest: digest64(bytes),
      loss: { sum: part.loss.sum, tokens: BigInt(part.loss.tokens) },
      inputTokens: BigInt(part.inputTokens),
      notFinite: part.notFinite ?? "",
    };
    function* messages() {
      yield { part: { case: "header" as const, value: header } };
      for (const chunk of cutIntoChunks(bytes)) yield { part: { case: "chunk" as const, value: chunk } };
    }
    const call = () => connections.upload.service(CollectiveService).contribute(messages(), share);
    await untilWhole(call, share.signal);
    this.#done(bytes);
  }

  async #fetch(): Promise<Sum> {
    const { caller, connections, elements, memory, plane, share, step } = this.#options;
    return untilWhole(async () => {
      const request = { member: caller, key: this.#key() };
      const responses = connections.download.service(CollectiveService).fetch(request, { signal: share.signal });
      const { header, assembler } = await receive(responses, ({ bytes }: FetchHeader) => {
        if (Number(bytes) !== wireLength(plane.format, elements)) {
          throw new CoordError("DIVERGED", `A sum of ${bytes} bytes came for ${elements} elements.`);
        }
        return new ChunkAssembler(this.#wire() ?? bytesOfFloat32(memory.sum(elements)));
      });
      share.signal.throwIfAborted();
      checkDigest(assembler.digest(), header.digest, `The sum of step ${step}`);
      const { sum, tokens } = header.loss!;
      const gradient = memory.sum(elements);
      if (plane.format === "bfloat16") fromBfloat16(assembler.bytes, gradient);
      this.#done(assembler.bytes);
      return { gradient, loss: { sum, tokens: Number(tokens) }, confirmed: Promise.resolve() };
    }, share.signal);
  }

  /** Memory for what is on its way; undefined where that is the vector itself. */
  #wire(): Uint8Array | undefined {
    const { elements, plane } = this.#options;
    return plane.format === "float32" ? undefined : plane.wires.take(wireLength(plane.format, elements));
  }

  /** Keeps it for the next, which a call that was left must not reach: its memory is nobody's any more. */
  #done(wire: Uint8Array): void {
    const { plane } = this.#options;
    if (plane.format !== "float32") plane.wires.give(wire);
  }

  #key() {
    const { share, step } = this.#options;
    return { generation: share.generation, step: BigInt(step), bucket: 0 };
  }
}

/** Repeats a transfer that was damaged on its way, or whose answer was lost. */
async function untilWhole<T>(transfer: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await repeat(transfer, signal);
    } catch (thrown) {
      if (!(thrown instanceof CoordError) || thrown.code !== "DAMAGED" || attempt === attempts) throw thrown;
    }
  }
}
