import { CoordError } from "../errors.ts";
import { Digest64 } from "../tensors/digest.ts";
import { chunkBytes } from "./limits.ts";

export interface Piece {
  readonly offset: bigint;
  readonly data: Uint8Array;
}

/** Cuts `bytes` into pieces of at most `chunkBytes`; the pieces are views, not copies. */
export function* cutIntoChunks(bytes: Uint8Array): Generator<Piece> {
  for (let offset = 0; offset < bytes.byteLength; offset += chunkBytes) {
    yield { offset: BigInt(offset), data: bytes.subarray(offset, offset + chunkBytes) };
  }
}

/** Puts pieces back together in memory given to it; a gap, an overlap, too much or too little is an error. */
export class ChunkAssembler {
  readonly #digest = new Digest64();
  #filled = 0;

  constructor(readonly bytes: Uint8Array) {}

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
    // Here, while the piece is in the cache and the next one is still on its way.
    this.#digest.update(piece.data);
  }

  /** The digest of the whole, if it is complete. */
  digest(): bigint {
    if (this.#filled !== this.bytes.byteLength) {
      throw new CoordError(
        "INVALID_REQUEST",
        `A transfer ended after ${this.#filled} of ${this.bytes.byteLength} bytes.`,
      );
    }
    return this.#digest.value();
  }
}

/** Throws DAMAGED unless the digest of what came is that of what was sent; `what` names it. */
export function checkDigest(received: bigint, sent: bigint, what: string): void {
  if (received !== sent) throw new CoordError("DAMAGED", `${what} was damaged on its way (digest mismatch).`);
}
