import { blockBytes, digestAt, digestOf as digestOfBytes, kernelMemory } from "../kernels/kernels.ts";

/**
 * The digest of gradients and states on their way between processes: XXH3 of the XXH3 digests of all blocks of 256 KiB,
 * each as eight bytes, little-endian. It finds accidents, not attacks:
 * https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
 */
export function digest64(bytes: Uint8Array): bigint {
  return new Digest64().update(bytes).value();
}

/** The same digest of bytes that arrive in pieces. Several may be under way at once. */
export class Digest64 {
  readonly #blocks: bigint[] = [];
  /** The beginning of a block whose end has not come yet. */
  #begun: Uint8Array | undefined;
  #begunBytes = 0;

  update(bytes: Uint8Array): this {
    let rest = bytes;
    while (rest.byteLength > 0) {
      const piece = rest.subarray(0, blockBytes - this.#begunBytes);
      rest = rest.subarray(piece.byteLength);
      if (piece.byteLength === blockBytes) {
        this.#blocks.push(digestOf(piece));
        continue;
      }
      this.#begun ??= new Uint8Array(blockBytes);
      this.#begun.set(piece, this.#begunBytes);
      this.#begunBytes += piece.byteLength;
      if (this.#begunBytes < blockBytes) continue;
      this.#blocks.push(digestOf(this.#begun));
      this.#begunBytes = 0;
    }
    return this;
  }

  /** The digest of all bytes so far; more may follow. */
  value(): bigint {
    const digests = [...this.#blocks];
    if (this.#begun && this.#begunBytes > 0) digests.push(digestOf(this.#begun.subarray(0, this.#begunBytes)));
    return digestOf(new Uint8Array(BigUint64Array.from(digests).buffer));
  }
}

/** XXH3 of at most a block. */
function digestOf(bytes: Uint8Array): bigint {
  if (bytes.buffer === kernelMemory().buffer) return digestAt(bytes.byteOffset, bytes.byteLength);
  return digestOfBytes(bytes);
}
