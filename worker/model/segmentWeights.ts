import { elementCount } from "../../shared/tensors/layout.ts";
import type { CutModel, Segment } from "./cutModel.ts";
import type { Model } from "./model.ts";
import { int8Bytes, quantizeInt8 } from "./quantized/int8.ts";
import { nf4Bytes, quantizeNf4 } from "./quantized/nf4.ts";
import type { QuantizedWeight } from "./quantized/quantizedWeight.ts";
import type { Weights } from "./weights.ts";

/** How weights of linear modules are held: not at all, but read again for each use, or in 8 or 4 bits. */
export type WeightStorage = "file" | "int8" | "nf4";

/** Elements of a vector register's size, so that no weight begins in the middle of one. */
const alignment = 16;

/**
 * The frozen weights of a cut model, one segment at a time in float32, in memory that is used again for the next one.
 * Everything that is not quantized is read from its file when it is needed, and kept there by the kernel alone.
 */
export class SegmentWeights {
  readonly #model: Model;
  readonly #weights: Weights;
  readonly #quantized: ReadonlyMap<string, QuantizedWeight>;
  readonly #pool: Float32Array;
  #loaded: { segment: Segment; views: ReadonlyMap<string, Float32Array> } | undefined;

  /** Quantizes what is to be quantized. Takes `weights` over: closing this closes them. */
  static async open(model: Model, cut: CutModel, weights: Weights, storage: WeightStorage): Promise<SegmentWeights> {
    const pool = new Float32Array(poolElements(model, cut));
    const quantized = new Map<string, QuantizedWeight>();
    for (const name of quantizedNames(model, storage)) {
      const shape = model.frozen.get(name)!;
      const values = pool.subarray(0, elementCount(shape));
      await weights.fillFloat32(name, values);
      quantized.set(name, storage === "nf4" ? quantizeNf4(values) : quantizeInt8(values, shape.at(-1)!));
    }
    return new SegmentWeights(model, weights, quantized, pool);
  }

  private constructor(
    model: Model,
    weights: Weights,
    quantized: ReadonlyMap<string, QuantizedWeight>,
    pool: Float32Array,
  ) {
    this.#model = model;
    this.#weights = weights;
    this.#quantized = quantized;
    this.#pool = pool;
  }

  /** The frozen weights of a segment by the model's names; they stay until the next segment is asked for. */
  async of(segment: Segment): Promise<ReadonlyMap<string, Float32Array>> {
    if (this.#loaded?.segment === segment) return this.#loaded.views;
    this.#loaded = undefined;
    const views = new Map<string, Float32Array>();
    let at = 0;
    for (const name of frozenNames(this.#model, segment)) {
      const view = this.#pool.subarray(at, at + elementCount(this.#model.frozen.get(name)!));
      at += aligned(view.length);
      const quantized = this.#quantized.get(name);
      if (quantized) quantized.widen(view);
      else await this.#weights.fillFloat32(name, view);
      views.set(name, view);
    }
    this.#loaded = { segment, views };
    return views;
  }

  /** Fills `target` with rows of a table, in the order of `ids`. */
  async rows(table: string, ids: ArrayLike<number>, target: Float32Array): Promise<void> {
    const columns = this.#model.frozen.get(table)![1]!;
    for (let row = 0; row < ids.length; row++) {
      const found = target.subarray(row * columns, (row + 1) * columns);
      await this.#weights.fillFloat32(table, found, ids[row]! * columns);
    }
  }

  /** Fills `target` with the rows of a matrix from `row` on. */
  async fill(name: string, target: Float32Array, row: number): Promise<void> {
    await this.#weights.fillFloat32(name, target, row * this.#model.frozen.get(name)![1]!);
  }

  async close(): Promise<void> {
    await this.#weights.close();
  }
}

/** Elements of the largest segment's frozen weights. */
export function poolElements(model: Model, { segments }: CutModel): number {
  const elements = segments.map((segment) =>
    frozenNames(model, segment).reduce((total, name) => total + aligned(elementCount(model.frozen.get(name)!)), 0),
  );
  return Math.max(0, ...elements);
}

/** Bytes that stay in memory for as long as the model is open. */
export function residentBytes(model: Model, storage: WeightStorage): number {
  return quantizedNames(model, storage).reduce((total, name) => {
    const shape = model.frozen.get(name)!;
    const elements = elementCount(shape);
    const columns = shape.at(-1)!;
    return total + (storage === "nf4" ? nf4Bytes(elements) : int8Bytes(elements / columns, columns));
  }, 0);
}

function quantizedNames({ frozen, linearWeights }: Model, storage: WeightStorage): string[] {
  return storage === "file" ? [] : [...linearWeights].filter((name) => frozen.has(name));
}

function frozenNames({ frozen }: Model, { parameters }: Segment): string[] {
  return [...parameters.values()].filter((name) => frozen.has(name));
}

const aligned = (elements: number) => Math.ceil(elements / alignment) * alignment;
