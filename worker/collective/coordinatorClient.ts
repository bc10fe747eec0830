import type { TrainingState } from "../../shared/checkpoint/trainingState.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError } from "../../shared/errors.ts";
import { CheckpointService, type StateHeader } from "../../shared/gen/coord/v1/checkpoint_pb.ts";
import { CollectiveService, type FetchHeader } from "../../shared/gen/coord/v1/collective_pb.ts";
import type { Chunk } from "../../shared/gen/coord/v1/common_pb.ts";
import { DataService, type Split } from "../../shared/gen/coord/v1/data_pb.ts";
import { MembershipService } from "../../shared/gen/coord/v1/membership_pb.ts";
import { ChunkAssembler, checkDigest, cutIntoChunks } from "../../shared/rpc/chunks.ts";
import { Connection, type Endpoint } from "../../shared/rpc/client.ts";
import { encodeState, StateAssembler } from "../../shared/rpc/stateTransfer.ts";
import { BufferPool } from "../../shared/tensors/bufferPool.ts";
import { bytesOfFloat32, float32OfBytes } from "../../shared/tensors/bytes.ts";
import { digest64 } from "../../shared/tensors/digest.ts";
import type { Sample } from "../train/collate.ts";
import { DataPlane } from "./dataPlane.ts";
import type { SharedRegion } from "./sharedRegion.ts";

/** Who calls, in every request. */
export interface Caller {
  readonly runId: string;
  readonly workerId: string;
  readonly incarnation: string;
}

/** Rows that one request asks for; the coordinator takes no more than 4096. */
const samplesPerRequest = 1024;

/** The membership that a call belongs to; the signal ends with it. */
export interface Epoch {
  readonly generation: bigint;
  readonly signal: AbortSignal;
}

export interface SlotGradient {
  readonly slot: number;
  readonly gradient: Float32Array;
  readonly loss: { readonly sum: number; readonly tokens: number };
  readonly inputTokens: number;
  /** Name of the first tensor that is not finite, or "loss"; absent when all is finite. */
  readonly notFinite?: string;
}

/**
 * A worker's calls to its coordinator. Control, uploads and downloads have a connection each: on one connection a
 * bulk upload and a bulk download can fill each other's buffers and wait for ever, and both would delay heartbeats.
 */
export class CoordinatorClient {
  readonly #control: Connection;
  readonly #upload: Connection;
  readonly #download: Connection;
  /** Memory of the sum: a call that failed keeps the one it was filling, so that the next does not share it. */
  readonly #memory = new BufferPool(1);
  readonly #regions: DataPlane;
  readonly membership;

  constructor(
    endpoint: Endpoint,
    readonly caller: Caller,
  ) {
    this.#control = new Connection(endpoint);
    this.#upload = new Connection(endpoint);
    this.#download = new Connection(endpoint);
    this.#regions = new DataPlane(caller);
    this.membership = this.#control.service(MembershipService);
  }

  /** How gradients travel from now on. */
  useDataPlane(choice: RunConfig["dataPlane"]): void {
    this.#regions.choice = choice;
  }

  close(): void {
    for (const connection of [this.#control, this.#upload, this.#download]) connection.close();
    void this.#regions.close();
  }

  /** Rows of tokens by place in the epoch's order (training) or number (held out), in the order asked for. */
  async samples(
    from: { readonly split: Split; readonly epoch: number },
    indices: readonly number[],
    signal: AbortSignal,
  ): Promise<Sample[]> {
    const samples: Sample[] = [];
    for (let at = 0; at < indices.length; at += samplesPerRequest) {
      const wanted = indices.slice(at, at + samplesPerRequest).map(BigInt);
      const request = { member: this.caller, ...from, indices: wanted };
      for await (const response of this.#control.service(DataService).getSamples(request, { signal })) {
        // A copy, because the bytes are a view at any offset and Uint32Array wants a multiple of 4.
        const inputIds = new Uint32Array(new Uint8Array(response.inputIds).buffer);
        const { labelMask, lengths } = response;
        samples.push({ inputIds, labelMask, ...(lengths.length > 0 && { lengths }) });
      }
    }
    if (samples.length !== indices.length) {
      throw new CoordError("INTERNAL", `Asked for ${indices.length} samples, got ${samples.length}.`);
    }
    return samples;
  }

  /** Hands the gradient of one slot over. */
  async contribute(step: number, part: SlotGradient, epoch: Epoch): Promise<void> {
    const bytes = bytesOfFloat32(part.gradient);
    const header = {
      member: this.caller,
      key: { generation: epoch.generation, step: BigInt(step), bucket: 0 },
      slot: part.slot,
      bytes: BigInt(bytes.byteLength),
      digest: 0n,
      loss: { sum: part.loss.sum, tokens: BigInt(part.loss.tokens) },
      inputTokens: BigInt(part.inputTokens),
      notFinite: part.notFinite ?? "",
    };
    const service = this.#upload.service(CollectiveService);
    await this.#regions.attempt(
      async (region, key) => {
        const written = region.writeGradient(key, bytes);
        header.digest = digest64(bytes);
        await written;
        await service.contribute([{ part: { case: "header", value: { ...header, regionKey: key } } }], epoch);
      },
      async () => {
        header.digest = digest64(bytes);
        function* messages() {
          yield { part: { case: "header" as const, value: header } };
          for (const chunk of cutIntoChunks(bytes)) yield { part: { case: "chunk" as const, value: chunk } };
        }
        await service.contribute(messages(), epoch);
      },
      epoch.signal,
    );
  }

  /** Waits for the sum over all slots and takes it over. The gradient is valid until the next call, which reuses its memory. */
  async fetchSum(step: number, epoch: Epoch) {
    const key = { generation: epoch.generation, step: BigInt(step), bucket: 0 };
    const fetch = async (region?: SharedRegion, regionKey = "") => {
      const request = { member: this.caller, key, regionKey };
      const responses = this.#download.service(CollectiveService).fetch(request, { signal: epoch.signal });
      const { header, assembler } = await receive(responses, (header: FetchHeader) => {
        return new ChunkAssembler(this.#memory.take(Number(header.bytes)));
      });
      const shared = header.inRegion ? await region?.readSum(epoch.generation, assembler.bytes) : undefined;
      epoch.signal.throwIfAborted();
      checkDigest(shared ?? assembler.digest(), header.digest, `The sum of step ${step}`);
      this.#memory.give(assembler.bytes);
      const { sum, tokens } = header.loss!;
      return { gradient: float32OfBytes(assembler.bytes), loss: { sum, tokens: Number(tokens) } };
    };
    return this.#regions.attempt(fetch, fetch, epoch.signal);
  }

  /** Reports the held-out loss of one slot; resolves when all slots are in. */
  async evaluateSlot(step: number, slot: number, loss: { sum: number; tokens: number }, epoch: Epoch): Promise<void> {
    await this.#control.service(CollectiveService).evaluate(
      {
        member: this.caller,
        generation: epoch.generation,
        step: BigInt(step),
        slot,
        loss: { sum: loss.sum, tokens: BigInt(loss.tokens) },
      },
      { signal: epoch.signal },
    );
  }

  /** Hands a state to the coordinator. */
  async putState(state: TrainingState, epoch: Epoch): Promise<void> {
    const caller = this.caller;
    function* messages() {
      for (const part of encodeState(state, epoch.generation)) {
        yield part.case === "header"
          ? { part: { case: part.case, value: { member: caller, state: part.value } } }
          : { part };
      }
    }
    await this.#upload.service(CheckpointService).putState(messages(), { signal: epoch.signal });
  }

  /** Waits for the state at the assignment's step and downloads it. */
  async getState(epoch: Epoch): Promise<TrainingState> {
    const request = { member: this.caller, generation: epoch.generation };
    const responses = this.#download.service(CheckpointService).getState(request, { signal: epoch.signal });
    const { assembler } = await receive(responses, (header: StateHeader) => new StateAssembler(header));
    return assembler.complete();
  }
}

type Response<Header> = {
  part: { case: "header"; value: Header } | { case: "chunk"; value: Chunk } | { case: undefined; value?: undefined };
};

async function receive<Header, Assembler extends { add(chunk: Chunk): void }>(
  responses: AsyncIterable<Response<Header>>,
  start: (header: Header) => Assembler,
): Promise<{ header: Header; assembler: Assembler }> {
  let received: { header: Header; assembler: Assembler } | undefined;
  for await (const { part } of responses) {
    if (part.case === "header") received = { header: part.value, assembler: start(part.value) };
    else if (part.case === "chunk" && received) received.assembler.add(part.value);
  }
  if (!received) throw new CoordError("INVALID_REQUEST", "The coordinator sent no header.");
  return received;
}
