import { CoordError } from "../errors.ts";
import { chunkBytes } from "./limits.ts";

interface Piece {
  readonly offset: bigint;
  readonly data: Uint8Array;
}

/** Cuts `bytes` into pieces of at most 1 MiB; the pieces are views, not copies. */
export function* cutIntoChunks(bytes: Uint8Array): Generator<Piece> {
  for (let offset = 0; offset < bytes.byteLength; offset += chunkBytes) {
    yield { offset: BigInt(offset), data: bytes.subarray(offset, offset + chunkBytes) };
  }
}

/** Puts pieces back together; a gap, an overlap, too much or too little is an error. */
export class ChunkAssembler {
  readonly bytes: Uint8Array;
  #filled = 0;

  constructor(byteLength: number) {
    this.bytes = new Uint8Array(byteLength);
  }

  add(piece: Piece): void {
    const offset = Number(piece.offset);
    if (offset !== this.#filled || offset + piece.data.byteLength > this.bytes.byteLength) {
      throw new CoordError(
        "INVALID_REQUEST",
        `A chunk of ${piece.data.byteLength} bytes came for offset ${offset}; ${this.#filled} of ${this.bytes.byteLength} bytes are there.`,
      );
    }
    this.bytes.set(piece.data, offset);
    this.#filled += piece.data.byteLength;
  }

  /** The whole, if it is complete. */
  complete(): Uint8Array {
    if (this.#filled !== this.bytes.byteLength) {
      throw new CoordError(
        "INVALID_REQUEST",
        `A transfer ended after ${this.#filled} of ${this.bytes.byteLength} bytes.`,
      );
    }
    return this.bytes;
  }
}
