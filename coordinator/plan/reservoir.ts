import { type RandomKey, randomUint32 } from "../../shared/rng.ts";

/** Draws up to `size` items uniformly from a stream of unknown length (Vitter 1985, algorithm R). */
export class Reservoir<Item> {
  readonly items: Item[] = [];
  seen = 0;

  constructor(
    private readonly size: number,
    private readonly key: RandomKey,
  ) {}

  /** Takes the next item of the stream. */
  offer(item: Item): void {
    const place = this.seen < this.size ? this.seen : randomUint32(this.key, this.seen) % (this.seen + 1);
    this.seen++;
    if (place < this.size) this.items[place] = item;
  }
}
