import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TrainingState } from "../../shared/checkpoint/trainingState.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { failpoint } from "../../shared/failpoint.ts";
import { CheckpointService, type StateHeader } from "../../shared/gen/coord/v1/checkpoint_pb.ts";
import { CollectiveService } from "../../shared/gen/coord/v1/collective_pb.ts";
import { DataService, type Split } from "../../shared/gen/coord/v1/data_pb.ts";
import {
  type CommitStepRequestSchema,
  type CommitStepResponse,
  MembershipService,
} from "../../shared/gen/coord/v1/membership_pb.ts";
import type { WireFormat } from "../../shared/kernels/wireFormat.ts";
import { canMapInPlace } from "../../shared/regions/mapping.ts";
import { Connection, type Endpoint } from "../../shared/rpc/client.ts";
import { encodeState, StateAssembler } from "../../shared/rpc/stateTransfer.ts";
import { coordHome } from "../../shared/runPaths.ts";
import { type SampleCalls, SampleSource } from "../data/sampleSource.ts";
import type { Sample } from "../train/collate.ts";
import { DataPlane } from "./dataPlane.ts";
import { receive } from "./receive.ts";
import { Reduction, type Share } from "./reduction.ts";
import { repeat } from "./repeat.ts";
import { VectorMemory } from "./vectorMemory.ts";

/** Who calls, in every request. */
export interface Caller {
  readonly runId: string;
  readonly workerId: string;
  readonly incarnation: string;
}

/** The membership that a call belongs to; the signal ends with it. */
export interface Epoch {
  readonly generation: bigint;
  readonly signal: AbortSignal;
}

/**
 * A worker's calls to its coordinator. Control, uploads and downloads have a connection each: on one connection a
 * bulk upload and a bulk download can fill each other's buffers and wait for ever, and both would delay heartbeats. So
 * has the state that travels while a step is computed: gradients do not wait behind it.
 */
export class CoordinatorClient {
  readonly #control: Connection;
  readonly #upload: Connection;
  readonly #download: Connection;
  readonly #state: Connection;
  readonly #memory = new VectorMemory();
  readonly #plane: DataPlane;
  readonly #samples: SampleSource;
  readonly membership;

  constructor(
    endpoint: Endpoint,
    readonly caller: Caller,
  ) {
    this.#control = new Connection(endpoint);
    this.#upload = new Connection(endpoint);
    this.#download = new Connection(endpoint);
    this.#state = new Connection(endpoint);
    this.#plane = new DataPlane(caller);
    this.#samples = new SampleSource(this.#sampleCalls(), join(coordHome(), "cache", "samples"));
    this.membership = this.#control.service(MembershipService);
  }

  /** Waits until the coordinator can be reached. Throws COORDINATOR_UNREACHABLE. */
  reach(signal: AbortSignal): Promise<void> {
    return this.#control.reach(signal);
  }

  /** Begins the connections anew over which nothing tells whether they still stand. */
  renew(): void {
    for (const connection of [this.#upload, this.#download, this.#state]) connection.renew();
  }

  /** How gradients travel from now on; `inPlace` false where shared memory is to be copied to and from. */
  useDataPlane(choice: RunConfig["dataPlane"], format: WireFormat = "float32", inPlace = canMapInPlace): void {
    this.#plane.choice = choice;
    this.#plane.format = format;
    this.#plane.inPlace = inPlace;
  }

  close(): void {
    for (const connection of [this.#control, this.#upload, this.#download, this.#state]) connection.close();
    this.#plane.close();
    void this.#samples.close();
  }

  /** Rows of tokens by place in the epoch's order (training) or number (held out), in the order asked for. */
  async samples(
    from: { readonly split: Split; readonly epoch: number },
    indices: readonly number[],
    signal: AbortSignal,
  ): Promise<Sample[]> {
    return this.#samples.rows(from, indices, signal);
  }

  #sampleCalls(): SampleCalls {
    const service = this.#control.service(DataService);
    const member = this.caller;
    return {
      locate: (from, places, signal) => {
        const request = { member, ...from, places: places.map(BigInt) };
        return repeat(() => service.locateRows(request, { signal }), signal);
      },
      async *fetch(split, samples, signal) {
        const request = { member, split, samples: samples.map(BigInt) };
        for (const sent of await repeat(() => collect(service.getSamples(request, { signal })), signal)) {
          // Copies, because the bytes are views of what arrived, at any offset, and Uint32Array wants a multiple of 4.
          const [ids, labelMask] = [new Uint8Array(sent.inputIds), new Uint8Array(sent.labelMask)];
          yield { inputIds: new Uint32Array(ids.buffer), labelMask };
        }
      },
    };
  }

  /** Begins the all-reduce of one step. */
  allReduce(step: number, share: Share, elements: number): Reduction {
    const connections = { control: this.#control, upload: this.#upload, download: this.#download };
    return new Reduction({
      caller: this.caller,
      step,
      share,
      elements,
      connections,
      plane: this.#plane,
      memory: this.#memory,
    });
  }

  /** Reports the held-out loss of one slot; resolves when all slots are in. */
  async evaluateSlot(step: number, slot: number, loss: { sum: number; tokens: number }, epoch: Epoch): Promise<void> {
    const request = {
      member: this.caller,
      generation: epoch.generation,
      step: BigInt(step),
      slot,
      loss: { sum: loss.sum, tokens: BigInt(loss.tokens) },
    };
    const call = () => this.#control.service(CollectiveService).evaluate(request, { signal: epoch.signal });
    await repeat(call, epoch.signal);
  }

  /** Votes for a step; resolves with what is due after it when all members have. */
  commitStep(vote: MessageInitShape<typeof CommitStepRequestSchema>, signal: AbortSignal): Promise<CommitStepResponse> {
    return repeat(() => this.membership.commitStep(vote, { signal }), signal);
  }

  /** Hands a state to the coordinator; it must not change meanwhile. */
  async putState(state: TrainingState, epoch: Epoch): Promise<void> {
    const caller = this.caller;
    const half = BigInt(6 * state.layout.elements);
    async function* messages() {
      for await (const part of encodeState(state, epoch.generation)) {
        if (part.case === "chunk" && part.value.offset >= half) {
          failpoint("state-half-uploaded", state.step, caller.workerId);
        }
        yield part.case === "header"
          ? { part: { case: part.case, value: { member: caller, state: part.value } } }
          : { part };
      }
    }
    const call = () => this.#state.service(CheckpointService).putState(messages(), { signal: epoch.signal });
    await repeat(call, epoch.signal);
  }

  /** Waits for the state at the assignment's step and downloads it. */
  async getState(epoch: Epoch): Promise<TrainingState> {
    const request = { member: this.caller, generation: epoch.generation };
    return repeat(async () => {
      const responses = this.#download.service(CheckpointService).getState(request, { signal: epoch.signal });
      const { assembler } = await receive(responses, (header: StateHeader) => new StateAssembler(header));
      return assembler.complete();
    }, epoch.signal);
  }
}

async function collect<T>(responses: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const response of responses) all.push(response);
  return all;
}
