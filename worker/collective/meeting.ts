import { unlessAborted } from "../../shared/deferred.ts";
import { kernelMemory } from "../../shared/kernels/kernels.ts";
import { waitForWake, wake } from "../../shared/regions/mapping.ts";

/** Sum over label tokens, in nats, and their number. */
interface TokenLoss {
  readonly sum: number;
  readonly tokens: number;
}

const lineBytes = 64;
const checksumBytes = 8;
const lossBytes = 16;
/** A wait is looked after this often, should nobody wake it. */
const sliceMs = 100;

/** What a round is about, the same for all members. */
export interface MeetingShape {
  readonly worldSize: number;
  readonly slots: number;
  readonly blocks: number;
}

/** Length of the memory that a meeting takes. */
export function meetingBytes({ blocks, slots, worldSize }: MeetingShape): number {
  return (1 + worldSize) * lineBytes + slots * lossBytes + (slots + 1) * blocks * checksumBytes;
}

/**
 * Where the members of a round meet in memory that all share: a bell, a line for each rank with the number of the last
 * point that it has come to, the slots' losses, and the checksums of all blocks of the slots and of the sum. Numbers of
 * points only grow: a line that an earlier round has left is never taken for one of this.
 */
export class Meeting {
  readonly #bell: number;
  readonly #lines: Int32Array;
  readonly #losses: Float64Array;
  readonly #checksums: BigUint64Array;
  readonly #shape: MeetingShape;

  constructor(address: number, shape: MeetingShape) {
    const { buffer } = kernelMemory();
    const { blocks, slots, worldSize } = shape;
    const losses = address + (1 + worldSize) * lineBytes;
    this.#shape = shape;
    this.#bell = address;
    this.#lines = new Int32Array(buffer, address, ((1 + worldSize) * lineBytes) / Int32Array.BYTES_PER_ELEMENT);
    this.#losses = new Float64Array(buffer, losses, 2 * slots);
    this.#checksums = new BigUint64Array(buffer, losses + slots * lossBytes, (slots + 1) * blocks);
  }

  tellLoss(slot: number, { sum, tokens }: TokenLoss): void {
    this.#losses[2 * slot] = sum;
    this.#losses[2 * slot + 1] = tokens;
  }

  /** The loss over all slots, added in slot order as the coordinator adds it. */
  totalLoss(): TokenLoss {
    let sum = 0;
    let tokens = 0;
    for (let slot = 0; slot < this.#shape.slots; slot++) {
      sum += this.#losses[2 * slot]!;
      tokens += this.#losses[2 * slot + 1]!;
    }
    return { sum, tokens };
  }

  /** Checksum of a block of a slot, or of the sum, which comes after the slots. */
  checksum(slot: number, block: number): bigint {
    return this.#checksums[slot * this.#shape.blocks + block]!;
  }

  tellChecksum(slot: number, block: number, checksum: bigint): void {
    this.#checksums[slot * this.#shape.blocks + block] = checksum;
  }

  /** Says that this rank has come to a point; what it wrote before is seen by whoever sees this. */
  arrive(rank: number, point: number): void {
    Atomics.store(this.#lines, lineOf(rank), point);
    if (!this.#allAt(point)) return;
    Atomics.add(this.#lines, 0, 1);
    wake(this.#bell);
  }

  /** Waits until all ranks have come to a point. */
  async all(point: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      // Before the look at the lines: whoever comes after it rings.
      const bell = Atomics.load(this.#lines, 0);
      if (this.#allAt(point)) return;
      signal.throwIfAborted();
      await unlessAborted(waitForWake(this.#bell, bell, sliceMs), signal);
    }
  }

  #allAt(point: number): boolean {
    for (let rank = 0; rank < this.#shape.worldSize; rank++) {
      if (((Atomics.load(this.#lines, lineOf(rank)) - point) | 0) < 0) return false;
    }
    return true;
  }
}

function lineOf(rank: number): number {
  return ((1 + rank) * lineBytes) / Int32Array.BYTES_PER_ELEMENT;
}
