import {
  add,
  blockBytes,
  decodeBfloat16,
  digestAt,
  encodeBfloat16,
  kernelMemory,
  scratch,
  settleNaNs,
} from "../../shared/kernels/kernels.ts";
import { type BlockRange, type Buckets, bucketRange, bucketsHeld, shareOf } from "./buckets.ts";

/** Where the blocks of a slot or of the sum are in memory that all members share. */
export interface BlockStore {
  write(address: number, length: number, offset: number): void;
  read(address: number, length: number, offset: number): void;
}

/** What members tell each other at the end of a stage: digests, eight bytes for each block of a bucket. */
export interface StageReport {
  readonly written: readonly Uint8Array[];
  readonly summed: readonly Uint8Array[];
}

export interface SharedReductionOptions {
  readonly buckets: Buckets;
  readonly rank: number;
  readonly worldSize: number;
  readonly slots: number;
  readonly groupSize: number;
  /** Length of the vector, in bytes of float32. */
  readonly bytes: number;
  /** How blocks are written; the sum is that of what can be read. */
  readonly bfloat16: boolean;
  /** Addresses of this member's gradients, by slot, in slot order. */
  readonly own: ReadonlyMap<number, number>;
  /** Address that the sum goes to. */
  readonly sum: number;
  slotStore(slot: number): BlockStore;
  readonly sumStore: BlockStore;
  /** Waits for all members: gives what each slot's owner has written of a bucket and each rank summed of the one before. */
  barrier(stage: number, mine: { written: Uint8Array[]; summed: Uint8Array }): Promise<StageReport>;
}

/** How often a block is read before its digest is believed to be another's fault. */
const attempts = 3;
const digestBytes = 8;

/**
 * One member's part in summing a vector in memory that all members share. Each writes its slots, sums its share of the
 * blocks and reads the sums of the others; meanwhile the next bucket is written and the one before read. The sum is
 * that of GradientSum, to the bit.
 */
export class SharedReduction {
  readonly #options: SharedReductionOptions;
  readonly #wireBytes: number;

  constructor(options: SharedReductionOptions) {
    this.#options = options;
    this.#wireBytes = options.bfloat16 ? blockBytes / 2 : blockBytes;
  }

  async run(): Promise<void> {
    const { barrier, buckets } = this.#options;
    let written = this.#write(0);
    let last: StageReport = { written: [], summed: [] };
    for (let stage = 0; stage < buckets.stages; stage++) {
      const summed = this.#sumShare(stage - 1, last.written);
      const all = barrier(stage, { written, summed });
      all.catch(() => {});
      // While the others come to the same point: what was summed before it, and what is to be summed after the next.
      const before = last;
      await nextTurn();
      if (stage >= 2) this.#readSums(stage - 2, before.summed);
      written = this.#write(stage + 1);
      last = await all;
    }
    if (buckets.everybodySums) this.#sumShare(0, last.written);
    else {
      // The last two buckets but for what was read on the way.
      this.#readSums(buckets.count - 1, last.summed);
    }
  }

  #write(bucket: number): Uint8Array[] {
    const { buckets, own, rank, worldSize } = this.#options;
    if (bucket >= buckets.count) return [...own.keys()].map(() => new Uint8Array());
    const mine = shareOf(buckets, bucket, rank, worldSize);
    return [...own].map(([slot, address]) => {
      const store = this.#options.slotStore(slot);
      return this.#digests(bucket, (block) => {
        // Nobody else reads what this member sums itself.
        if (!buckets.everybodySums && contains(mine, block)) return 0n;
        const wire = this.#encode(address + block * blockBytes, scratch[0], block);
        store.write(wire, this.#wireLength(block), this.#offset(block));
        return digestAt(wire, this.#wireLength(block));
      });
    });
  }

  #sumShare(bucket: number, written: readonly Uint8Array[]): Uint8Array {
    const { buckets, bfloat16, rank, sum, sumStore, worldSize } = this.#options;
    if (bucket < 0 || bucket >= buckets.count) return new Uint8Array();
    const mine = shareOf(buckets, bucket, rank, worldSize);
    const digests = written.map(readDigests);
    return this.#digests(bucket, (block) => {
      if (!contains(mine, block)) return 0n;
      const target = sum + block * blockBytes;
      this.#sumBlock(block, target, (slot) => digests[slot]?.[block - bucketRange(buckets, bucket).first]);
      settleNaNs(target, this.#length(block));
      const wire = this.#encode(target, scratch[0], block);
      if (!buckets.everybodySums) sumStore.write(wire, this.#wireLength(block), this.#offset(block));
      if (bfloat16) decodeBfloat16(target, wire, this.#length(block));
      return digestAt(wire, this.#wireLength(block));
    });
  }

  /** Slots in order within groups, then groups in order. */
  #sumBlock(block: number, target: number, digestOf: (slot: number) => bigint | undefined): void {
    const { groupSize, slots } = this.#options;
    const length = this.#length(block);
    for (let group = 0; group * groupSize < slots; group++) {
      const sum = group === 0 ? target : scratch[1];
      for (let slot = group * groupSize; slot < Math.min((group + 1) * groupSize, slots); slot++) {
        const first = slot === group * groupSize;
        const values = this.#slotBlock(slot, block, first ? sum : scratch[2], digestOf(slot));
        if (!first) add(sum, values, length);
        else if (values !== sum) kernelMemory().copyWithin(sum, values, values + length);
      }
      if (group > 0) add(target, sum, length);
    }
  }

  /** A block of a slot as others see it: its address, which is `into` where it had to be fetched. */
  #slotBlock(slot: number, block: number, into: number, digest: bigint | undefined): number {
    const { bfloat16, own, slotStore } = this.#options;
    const length = this.#length(block);
    const gradient = own.get(slot);
    if (gradient !== undefined) {
      const values = gradient + block * blockBytes;
      if (!bfloat16) return values;
      decodeBfloat16(into, this.#encode(values, scratch[3], block), length);
      return into;
    }
    const wire = bfloat16 ? scratch[3] : into;
    this.#fetch(slotStore(slot), block, wire, digest);
    if (bfloat16) decodeBfloat16(into, wire, length);
    return into;
  }

  /** Reads what the others have summed. */
  #readSums(bucket: number, summed: readonly Uint8Array[]): void {
    const { buckets, bfloat16, rank, sum, sumStore, worldSize } = this.#options;
    const { end, first } = bucketRange(buckets, bucket);
    for (let other = 0; other < worldSize; other++) {
      if (other === rank) continue;
      const digests = readDigests(summed[other] ?? new Uint8Array());
      const share = shareOf(buckets, bucket, other, worldSize);
      for (let block = Math.max(first, share.first); block < Math.min(end, share.end); block++) {
        const target = sum + block * blockBytes;
        const wire = bfloat16 ? scratch[0] : target;
        this.#fetch(sumStore, block, wire, digests[block - first]);
        if (bfloat16) decodeBfloat16(target, wire, this.#length(block));
      }
    }
  }

  #fetch(store: BlockStore, block: number, into: number, digest: bigint | undefined): void {
    const length = this.#wireLength(block);
    for (let attempt = 0; attempt < attempts; attempt++) {
      store.read(into, length, this.#offset(block));
      if (digestAt(into, length) === digest) return;
    }
    throw new Error(`Block ${block} in shared memory is not what was written there (digest mismatch)`);
  }

  /** The block in the form in which it is written: itself, or its rounded copy in `into`. */
  #encode(address: number, into: number, block: number): number {
    if (!this.#options.bfloat16) return address;
    encodeBfloat16(into, address, this.#length(block));
    return into;
  }

  #digests(bucket: number, digestOf: (block: number) => bigint): Uint8Array {
    const { end, first } = bucketRange(this.#options.buckets, bucket);
    const digests = BigUint64Array.from({ length: end - first }, (_, index) => digestOf(first + index));
    return new Uint8Array(digests.buffer);
  }

  /** Bytes of float32 in a block. */
  #length(block: number): number {
    return Math.max(0, Math.min(blockBytes, this.#options.bytes - block * blockBytes));
  }

  #wireLength(block: number): number {
    return this.#options.bfloat16 ? this.#length(block) / 2 : this.#length(block);
  }

  #offset(block: number): number {
    const { perBucket } = this.#options.buckets;
    const bucket = Math.floor(block / perBucket);
    return ((bucket % bucketsHeld) * perBucket + (block % perBucket)) * this.#wireBytes;
  }
}

function contains({ end, first }: BlockRange, block: number): boolean {
  return block >= first && block < end;
}

function readDigests(bytes: Uint8Array): BigUint64Array {
  // A copy, because messages start anywhere and 64-bit numbers do not.
  return new BigUint64Array(new Uint8Array(bytes).buffer, 0, Math.floor(bytes.byteLength / digestBytes));
}

/** Lets what was sent leave, and what has come be heard. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
