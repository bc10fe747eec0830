import { kernelMemory, reserve } from "../../shared/kernels/kernels.ts";

interface Vector {
  readonly address: number;
  readonly bytes: number;
}

/** Gradients of a worker's slots and their sum, in the kernels' memory, the same places for every step. */
export class VectorMemory {
  readonly #slots: Vector[] = [];
  #sum: Vector | undefined;

  /** The gradient of a worker's `index`-th slot; what it holds is arbitrary. Throws LIMIT_EXCEEDED. */
  slot(index: number, elements: number): Float32Array {
    const vector = atLeast(this.#slots[index], elements);
    this.#slots[index] = vector;
    return view(vector, elements);
  }

  /** The sum; what it holds is arbitrary. Throws LIMIT_EXCEEDED. */
  sum(elements: number): Float32Array {
    this.#sum = atLeast(this.#sum, elements);
    return view(this.#sum, elements);
  }
}

function atLeast(vector: Vector | undefined, elements: number): Vector {
  const bytes = elements * Float32Array.BYTES_PER_ELEMENT;
  return vector && vector.bytes >= bytes ? vector : { address: reserve(bytes), bytes };
}

function view({ address }: Vector, elements: number): Float32Array {
  return new Float32Array(kernelMemory().buffer, address, elements);
}
