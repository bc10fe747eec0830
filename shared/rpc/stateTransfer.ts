import { setImmediate } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TrainingState } from "../checkpoint/trainingState.ts";
import { CoordError } from "../errors.ts";
import type { StateHeader, StateHeaderSchema } from "../gen/coord/v1/checkpoint_pb.ts";
import type { Chunk } from "../gen/coord/v1/common_pb.ts";
import { bytesOfFloat32, float32OfBytes } from "../tensors/bytes.ts";
import { Digest64 } from "../tensors/digest.ts";
import { layOut, type ParamLayout } from "../tensors/layout.ts";
import { ChunkAssembler, checkDigest, cutIntoChunks } from "./chunks.ts";

/** A state longer than this is refused before memory is taken for it, in elements of one flat vector. */
const maxElements = 1024 ** 3 / 4;

type Part<Header> = { case: "header"; value: Header } | { case: "chunk"; value: { offset: bigint; data: Uint8Array } };

/** Bytes that are digested before others have their turn: 2 ms at 4 GB/s. */
const digestedAtOnce = 8 * 1024 * 1024;

/**
 * The messages that carry a state: a header, then parameters, first moments and second moments in chunks. The state must
 * not change before the last has been taken. It is digested in pieces, so that whoever sends it can work on meanwhile.
 */
export async function* encodeState(
  state: TrainingState,
  generation: bigint,
): AsyncGenerator<Part<MessageInitShape<typeof StateHeaderSchema>>> {
  const vectors = vectorsOf(state).map(bytesOfFloat32);
  const digest = new Digest64();
  for (const bytes of vectors) {
    for (let at = 0; at < bytes.byteLength; at += digestedAtOnce) {
      digest.update(bytes.subarray(at, at + digestedAtOnce));
      await setImmediate();
    }
  }
  yield {
    case: "header",
    value: {
      generation,
      step: BigInt(state.step),
      layout: state.layout.tensors.map(({ name, shape, offset }) => ({
        name,
        shape: [...shape],
        offset: BigInt(offset),
      })),
      elements: BigInt(state.layout.elements),
      digest: digest.value(),
    },
  };
  let base = 0n;
  for (const bytes of vectors) {
    for (const { offset, data } of cutIntoChunks(bytes))
      yield { case: "chunk", value: { offset: base + offset, data } };
    base += BigInt(bytes.byteLength);
  }
}

/** Collects what `encodeState` sent; `complete` checks length and digest. */
export class StateAssembler {
  readonly #layout: ParamLayout;
  readonly #assembler: ChunkAssembler;

  constructor(private readonly header: StateHeader) {
    const elements = Number(header.elements);
    this.#layout = layOut(header.layout);
    if (elements > maxElements || this.#layout.elements !== elements) {
      throw new CoordError("INVALID_REQUEST", `A state of ${elements} elements does not fit its own layout or limits.`);
    }
    this.#assembler = new ChunkAssembler(new Uint8Array(elements * 3 * 4));
  }

  add(chunk: Chunk): void {
    this.#assembler.add(chunk);
  }

  complete(): TrainingState {
    checkDigest(this.#assembler.digest(), this.header.digest, "A training state");
    const { elements } = this.#layout;
    const all = float32OfBytes(this.#assembler.bytes);
    return {
      step: Number(this.header.step),
      layout: this.#layout,
      parameters: all.subarray(0, elements),
      firstMoment: all.subarray(elements, 2 * elements),
      secondMoment: all.subarray(2 * elements),
    };
  }
}

function vectorsOf(state: TrainingState): Float32Array[] {
  return [state.parameters, state.firstMoment, state.secondMoment];
}
