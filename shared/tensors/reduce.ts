import { CoordError } from "../errors.ts";
import { aside, asideMemory, blockBytes, scratch } from "../kernels/kernels.ts";
import { bytesOfFloat32 } from "./bytes.ts";

/** What is to be summed. */
export interface GradientSumOptions {
  /** Number of vectors. */
  readonly slots: number;
  /** Slots `k·groupSize … (k+1)·groupSize - 1` are summed first, in slot order; then the sums, in group order. */
  readonly groupSize: number;
  /** Length of each vector. */
  readonly elements: number;
  /** Is handed each vector that has been added into another and is not needed any more. */
  readonly release?: (values: Float32Array) => void;
}

/**
 * Sums one float32 vector per slot, accumulating in float32 in an order that only the numbers of slots and of groups
 * decide: whatever the order of arrival, the result has the same bits (which NaN a NaN is aside). A vector is added as
 * soon as those before it in its group are there and is held only until then.
 */
export class GradientSum {
  readonly elements: number;
  readonly #slots: number;
  readonly #groupSize: number;
  readonly #release: (values: Float32Array) => void;
  /** Per group under way: its sum so far, the next slot to add and the vectors that came too early. */
  readonly #groups = new Map<number, Group>();
  readonly #seen = new Set<number>();
  #total: Float32Array | undefined;
  #nextGroup = 0;

  constructor({ slots, groupSize, elements, release = () => {} }: GradientSumOptions) {
    for (const [name, value] of Object.entries({ slots, groupSize })) {
      if (!Number.isInteger(value) || value < 1) {
        throw new CoordError("INTERNAL", `A gradient sum needs at least one of ${name}, not ${value}.`);
      }
    }
    this.elements = elements;
    this.#slots = slots;
    this.#groupSize = groupSize;
    this.#release = release;
  }

  /** True when all slots have been added. */
  get complete(): boolean {
    return this.#nextGroup * this.#groupSize >= this.#slots;
  }

  /** Number of vectors now held in memory, partial sums included. */
  get held(): number {
    let count = this.#total ? 1 : 0;
    for (const group of this.#groups.values()) count += group.early.size + (group.sum ? 1 : 0);
    return count;
  }

  /** Adds a slot's vector, once. Takes `values` over: it may become the memory of the sum. */
  add(slot: number, values: Float32Array): void {
    if (!Number.isInteger(slot) || slot < 0 || slot >= this.#slots) {
      throw new CoordError("INVALID_REQUEST", `There is no slot ${slot}: slots are numbered 0 to ${this.#slots - 1}.`);
    }
    if (values.length !== this.elements) {
      throw new CoordError("INVALID_REQUEST", `Slot ${slot} has ${values.length} elements, not ${this.elements}.`);
    }
    if (this.#seen.has(slot)) throw new CoordError("INVALID_REQUEST", `Slot ${slot} was added twice.`);
    this.#seen.add(slot);
    const index = Math.floor(slot / this.#groupSize);
    const group = this.#groups.get(index) ?? { next: index * this.#groupSize, sum: undefined, early: new Map() };
    this.#groups.set(index, group);
    group.early.set(slot, values);
    this.#drain(group);
    this.#foldGroups();
  }

  /** The sum over all slots; only when complete. */
  result(): Float32Array {
    if (!this.complete || !this.#total) {
      throw new CoordError("INTERNAL", `Only ${this.#seen.size} of ${this.#slots} slots have been added.`);
    }
    return this.#total;
  }

  #foldGroups(): void {
    for (;;) {
      const group = this.#groups.get(this.#nextGroup);
      const end = Math.min((this.#nextGroup + 1) * this.#groupSize, this.#slots);
      if (!group?.sum || group.next < end) return;
      this.#total = this.#merge(this.#total, group.sum);
      this.#groups.delete(this.#nextGroup++);
    }
  }

  #drain(group: Group): void {
    for (let values = group.early.get(group.next); values; values = group.early.get(group.next)) {
      group.early.delete(group.next++);
      group.sum = this.#merge(group.sum, values);
    }
  }

  /** Starts from the first vector rather than from zero, which would turn -0 into 0. */
  #merge(sum: Float32Array | undefined, values: Float32Array): Float32Array {
    if (!sum) return values;
    addInto(sum, values);
    this.#release(values);
    return sum;
  }
}

interface Group {
  next: number;
  sum: Float32Array | undefined;
  readonly early: Map<number, Float32Array>;
}

/** Block by block through memory that the processor has near. */
function addInto(sum: Float32Array, values: Float32Array): void {
  const to = bytesOfFloat32(sum);
  const from = bytesOfFloat32(values);
  for (let at = 0; at < to.byteLength; at += blockBytes) {
    const block = to.subarray(at, at + blockBytes);
    asideMemory.set(block, scratch[0]);
    asideMemory.set(from.subarray(at, at + blockBytes), scratch[1]);
    aside.add(scratch[0], scratch[1], block.byteLength);
    block.set(asideMemory.subarray(scratch[0], scratch[0] + block.byteLength));
  }
}
