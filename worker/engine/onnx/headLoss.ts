import { type InferenceSession, Tensor } from "onnxruntime-node";
import type { ApartHead } from "../../model/cutModel.ts";
import { headInputs, headParts, headProgram } from "../../model/headProgram.ts";
import type { SegmentWeights } from "../../model/segmentWeights.ts";
import { emitOnnx } from "./emitOnnx.ts";
import { floats } from "./floats.ts";
import { ScratchMemory } from "./scratchMemory.ts";
import { guarded, openSession, type SessionOptions } from "./session.ts";

/**
 * The head and its loss by parts of the vocabulary: neither its weights nor the logits are ever whole. Sums of
 * exponentials are put together as in online softmax (Milakov & Gimelshein 2018), and gradients with them.
 */
export class HeadLoss {
  readonly #head: ApartHead;
  readonly #weights: SegmentWeights;
  readonly #options: SessionOptions;
  readonly #parts: readonly number[];
  readonly #part: Float32Array;
  /** Not left to the garbage collector, which knows little of how large these are. */
  readonly #scratch = new ScratchMemory();
  readonly #sessions = new Map<string, Promise<InferenceSession>>();

  constructor(head: ApartHead, weights: SegmentWeights, options: SessionOptions) {
    this.#head = head;
    this.#weights = weights;
    this.#options = options;
    this.#parts = headParts(head);
    const rows = Math.max(...this.#parts.slice(1).map((end, part) => end - this.#parts[part]!));
    this.#part = new Float32Array(rows * head.shape[1]);
  }

  /** Sum of the losses of x [L, features]; `gradient`, of the same shape, is filled with that of x where it is given. */
  async run(x: Float32Array, targets: ArrayLike<number>, gradient?: Float32Array): Promise<number> {
    const features = this.#head.shape[1];
    const rows = targets.length;
    const logSums = new Float64Array(rows).fill(Number.NEGATIVE_INFINITY);
    const targetLogits = new Float64Array(rows);
    const targetWeights = gradient && this.#scratch.of(0, gradient.length);
    const partGradient = gradient && new Tensor("float32", this.#scratch.of(1, gradient.length), [rows, features]);
    gradient?.fill(0);
    const input = new Tensor("float32", x, [rows, features]);
    for (let part = 0; part + 1 < this.#parts.length; part++) {
      const [start, end] = [this.#parts[part]!, this.#parts[part + 1]!];
      const weight = this.#part.subarray(0, (end - start) * features);
      await this.#weights.fill(this.#head.weight, weight, start);
      for (let row = 0; row < rows; row++) {
        const target = targets[row]!;
        if (target < start || target >= end) continue;
        const from = (target - start) * features;
        targetLogits[row] = dot(x, row * features, weight, from, features);
        targetWeights?.set(weight.subarray(from, from + features), row * features);
      }
      const session = await this.#session(end - start, gradient !== undefined);
      const feeds = {
        [headInputs.x]: input,
        [headInputs.weight]: new Tensor("float32", weight, [end - start, features]),
      };
      const wanted = { logSum: null, ...(partGradient && { gradient: partGradient }) };
      const results = await guarded(() => session.run(feeds, wanted));
      join(logSums, floats(results["logSum"]), gradient, partGradient?.data as Float32Array | undefined);
    }
    if (gradient && targetWeights) for (let at = 0; at < gradient.length; at++) gradient[at]! -= targetWeights[at]!;
    let sum = 0;
    for (let row = 0; row < rows; row++) sum += logSums[row]! - targetLogits[row]!;
    return sum;
  }

  async dispose(): Promise<void> {
    for (const session of this.#sessions.values()) await (await session).release();
  }

  #session(rows: number, forTraining: boolean): Promise<InferenceSession> {
    const key = `${rows} ${forTraining}`;
    const open = () =>
      openSession(emitOnnx(headProgram(this.#head, rows, forTraining), ["logSum", "gradient"]), this.#options);
    const session = this.#sessions.get(key) ?? open();
    this.#sessions.set(key, session);
    return session;
  }
}

/** Adds a part: ln Σ exp over both, and gradients weighted by their share of it. */
function join(
  logSums: Float64Array,
  added: Float32Array,
  gradient: Float32Array | undefined,
  addedGradient: Float32Array | undefined,
): void {
  const features = gradient ? gradient.length / logSums.length : 0;
  for (let row = 0; row < logSums.length; row++) {
    const [before, part] = [logSums[row]!, added[row]!];
    const larger = Math.max(before, part);
    const both = larger + Math.log(Math.exp(before - larger) + Math.exp(part - larger));
    logSums[row] = both;
    if (!gradient || !addedGradient) continue;
    const [kept, share] = [Math.exp(before - both), Math.exp(part - both)];
    for (let at = row * features; at < (row + 1) * features; at++) {
      gradient[at] = gradient[at]! * kept + addedGradient[at]! * share;
    }
  }
}

function dot(a: Float32Array, fromA: number, b: Float32Array, fromB: number, length: number): number {
  let sum = 0;
  for (let at = 0; at < length; at++) sum += a[fromA + at]! * b[fromB + at]!;
  return sum;
}
