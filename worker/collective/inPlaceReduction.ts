import {
  blockBytes,
  checksumAt,
  checksumsOfSum,
  decodeBfloat16,
  encodeBfloat16,
  kernelMemory,
  scratch,
  settleNaNs,
  sumOf,
} from "../../shared/kernels/kernels.ts";
import type { BlockRange } from "./buckets.ts";
import type { Meeting } from "./meeting.ts";

export interface InPlaceReductionOptions {
  readonly rank: number;
  readonly worldSize: number;
  readonly slots: number;
  readonly groupSize: number;
  /** Length of the vector, in bytes of float32. */
  readonly bytes: number;
  /** Slots and sum are rounded on their way; float32 gradients are in their slots' memory from the start. */
  readonly bfloat16: boolean;
  /** Addresses of this member's gradients, by slot. */
  readonly own: ReadonlyMap<number, number>;
  /** Address of float32 that the sum goes to; that of `sumRegion` unless it is rounded. */
  readonly sum: number;
  readonly meeting: Meeting;
  slotRegion(slot: number): number;
  readonly sumRegion: number;
  /** Waits until all members have come to the end of stage 0: all is written, or stage 1: all is summed. */
  barrier(stage: number): Promise<void>;
}

/** Vectors up to this many blocks are summed by every member for itself: a barrier less. */
const maxForEverybody = 1;

/** Barriers of a round. */
export function stagesOf(blocks: number): number {
  return blocks <= maxForEverybody ? 1 : 2;
}

/** Blocks that are worked on before whatever else has come is heard. */
const turn = 64;

/**
 * One member's part in summing a vector whose slots all members have in their kernels' memory: each sums its share of
 * the blocks where they are, into memory that all have too, and checks what the others have written. The sum is that
 * of GradientSum, to the bit.
 */
export class InPlaceReduction {
  readonly #options: InPlaceReductionOptions;
  readonly #blocks: number;
  readonly #everybodySums: boolean;

  constructor(options: InPlaceReductionOptions) {
    this.#options = options;
    this.#blocks = Math.ceil(options.bytes / blockBytes);
    this.#everybodySums = stagesOf(this.#blocks) === 1;
  }

  async run(): Promise<void> {
    const { barrier, bfloat16, rank, worldSize } = this.#options;
    const mine = this.#share(rank);
    await this.#write(mine);
    await barrier(0);
    await each(mine, (block) => this.#sum(block));
    if (this.#everybodySums) return;
    await barrier(1);
    for (let other = 0; other < worldSize; other++) {
      if (other !== rank || bfloat16) await each(this.#share(other), (block) => this.#take(block, other === rank));
    }
  }

  /** Checksums of what others will read, and the slots themselves where they are rounded. */
  async #write(mine: BlockRange): Promise<void> {
    const { bfloat16, meeting, own, slotRegion } = this.#options;
    for (const [slot, gradient] of own) {
      const region = slotRegion(slot);
      await each({ first: 0, end: this.#blocks }, (block) => {
        const wire = this.#wireAt(region, block);
        if (bfloat16) encodeBfloat16(wire, gradient + block * blockBytes, this.#length(block));
        const onlyMine = !this.#everybodySums && block >= mine.first && block < mine.end;
        if (!onlyMine) meeting.tellChecksum(slot, block, this.#checksum(region, block));
      });
    }
  }

  /** Slots in order within groups, then groups in order. */
  #sum(block: number): void {
    const { bfloat16, groupSize, meeting, slots, sum, sumRegion } = this.#options;
    const length = this.#length(block);
    const target = sum + block * blockBytes;
    for (let from = 0; from < slots; from += groupSize) {
      const into = from === 0 ? target : scratch[1];
      this.#sumGroup(block, into, from, Math.min(from + groupSize, slots));
      if (from > 0) sumOf(target, target, into, length);
    }
    if (slots === 1) settleNaNs(target, length);
    if (this.#everybodySums && !bfloat16) return;
    const wire = this.#everybodySums ? scratch[0] : this.#wireAt(sumRegion, block);
    if (bfloat16) encodeBfloat16(wire, target, length);
    if (this.#everybodySums) {
      decodeBfloat16(target, wire, length);
      return;
    }
    const known = !bfloat16 && slots > 1;
    meeting.tellChecksum(slots, block, known ? checksumsOfSum().sum : this.#checksum(sumRegion, block));
  }

  #sumGroup(block: number, into: number, from: number, end: number): void {
    const { bfloat16 } = this.#options;
    const length = this.#length(block);
    const first = this.#slot(from, block, into);
    this.#checkSlot(from, block);
    if (from + 1 === end && first !== into) kernelMemory().copyWithin(into, first, first + length);
    for (let slot = from + 1; slot < end; slot++) {
      sumOf(into, slot === from + 1 ? first : into, this.#slot(slot, block, scratch[2]), length);
      // What has been added is what was read, unless that was bfloat16.
      this.#checkSlot(slot, block, bfloat16 ? undefined : checksumsOfSum().addend);
    }
  }

  /** Where the values of a slot's block are: `into`, where they had to be widened. */
  #slot(slot: number, block: number, into: number): number {
    const wire = this.#wireAt(this.#options.slotRegion(slot), block);
    if (!this.#options.bfloat16) return wire;
    decodeBfloat16(into, wire, this.#length(block));
    return into;
  }

  #checkSlot(slot: number, block: number, found?: bigint): void {
    const { meeting, own, slotRegion } = this.#options;
    if (!own.has(slot)) this.#check(slotRegion(slot), block, meeting.checksum(slot, block), found);
  }

  /** Takes a block of the sum as all see it. */
  #take(block: number, isMine: boolean): void {
    const { bfloat16, meeting, slots, sum, sumRegion } = this.#options;
    if (!isMine) this.#check(sumRegion, block, meeting.checksum(slots, block));
    if (bfloat16) decodeBfloat16(sum + block * blockBytes, this.#wireAt(sumRegion, block), this.#length(block));
  }

  /** Nothing was copied: memory that differs once is not looked at again. */
  #check(region: number, block: number, checksum: bigint, found = this.#checksum(region, block)): void {
    if (found !== checksum) throw new Error(`Block ${block} in shared memory is not what was written there.`);
  }

  #checksum(region: number, block: number): bigint {
    return checksumAt(this.#wireAt(region, block), this.#wireLength(block));
  }

  /** The blocks that a rank sums: all, or neighbouring ones, their numbers differing by one at most. */
  #share(rank: number): BlockRange {
    if (this.#everybodySums) return { first: 0, end: this.#blocks };
    const cut = (at: number) => Math.floor((at * this.#blocks) / this.#options.worldSize);
    return { first: cut(rank), end: cut(rank + 1) };
  }

  /** Bytes of float32 in a block. */
  #length(block: number): number {
    return Math.min(blockBytes, this.#options.bytes - block * blockBytes);
  }

  #wireLength(block: number): number {
    return this.#options.bfloat16 ? this.#length(block) / 2 : this.#length(block);
  }

  #wireAt(region: number, block: number): number {
    return region + block * (this.#options.bfloat16 ? blockBytes / 2 : blockBytes);
  }
}

async function each({ end, first }: BlockRange, work: (block: number) => void): Promise<void> {
  for (let block = first; block < end; block++) {
    work(block);
    if ((block - first) % turn === turn - 1) await new Promise((resolve) => setImmediate(resolve));
  }
}
