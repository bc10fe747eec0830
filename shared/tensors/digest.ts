import { createXXHash64 } from "hash-wasm";

// One instance for all: XXH64's state is 84 bytes, so each Digest64 swaps its own in and out around an update.
const hasher = await createXXHash64();

/**
 * XXH64 of `bytes`, the digest of gradients and states on their way between processes. It finds accidents, not attacks:
 * https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md. About 4 GB/s, two to three times as fast as SHA-256.
 */
export function digest64(bytes: Uint8Array): bigint {
  return finish(hasher.init().update(bytes));
}

/** The same digest of bytes that arrive in pieces. Several may be under way at once. */
export class Digest64 {
  #state: Uint8Array = hasher.init().save();

  update(bytes: Uint8Array): this {
    this.#state = hasher.load(this.#state).update(bytes).save();
    return this;
  }

  /** The digest of all bytes so far; more may follow. */
  value(): bigint {
    return finish(hasher.load(this.#state));
  }
}

function finish(state: typeof hasher): bigint {
  return BigInt(`0x${state.digest("hex")}`);
}
