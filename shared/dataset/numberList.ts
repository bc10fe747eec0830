/** A list of unsigned 32-bit numbers that grows, in four bytes each: there may be millions. */
export class NumberList {
  #values = new Uint32Array(1024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const larger = new Uint32Array(Math.ceil(this.#length * 1.5));
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#length++] = value;
  }

  /** The numbers so far: a view, good until the next push. */
  get values(): Uint32Array {
    return this.#values.subarray(0, this.#length);
  }
}
