/**
 * Keeps large buffers for the next round instead of leaving them to the garbage collector: the page faults of fresh
 * memory cost several times as much as the copy into it. What a buffer holds when it is taken is arbitrary.
 */
export class BufferPool {
  readonly #spare: Uint8Array[] = [];

  /** Keeps at most `limit` buffers, the newest. */
  constructor(private readonly limit: number) {}

  /** A buffer of exactly this length; it is the caller's until it is given back, which it need not be. */
  take(byteLength: number): Uint8Array {
    const at = this.#spare.findIndex((buffer) => buffer.byteLength === byteLength);
    return at >= 0 ? this.#spare.splice(at, 1)[0]! : new Uint8Array(byteLength);
  }

  /** Takes a buffer back that nobody reads any more. */
  give(buffer: Uint8Array): void {
    this.#spare.push(buffer);
    if (this.#spare.length > this.limit) this.#spare.shift();
  }
}
