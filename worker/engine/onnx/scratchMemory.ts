/** Vectors by number that keep their memory from call to call, and grow when more is asked for. */
export class ScratchMemory {
  readonly #vectors = new Map<number, Float32Array>();

  /** `elements` values of the vector of that number; what they are is left over from before. */
  of(number: number, elements: number): Float32Array {
    const held = this.#vectors.get(number);
    if (held && held.length >= elements) return held.subarray(0, elements);
    const grown = new Float32Array(elements);
    this.#vectors.set(number, grown);
    return grown;
  }
}
