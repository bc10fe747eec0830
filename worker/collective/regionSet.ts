import { canMap } from "../../shared/regions/mapping.ts";
import { Region } from "../../shared/regions/region.ts";
import { gradientRegion, sumRegion } from "../../shared/regions/regionDirectory.ts";

/** The open regions of one generation. */
export class RegionSet {
  readonly #regions = new Map<string, Region>();
  #generation: bigint | undefined;

  constructor(
    private readonly directory: string,
    private readonly mapped = canMap,
  ) {}

  /** Opens the sum and the slots that this worker writes, with memory behind them. Throws ENOSPC. */
  prepare(generation: bigint, slots: readonly number[], bytes: number): void {
    if (this.#generation !== generation) this.close();
    this.#generation = generation;
    this.sum().extend(bytes);
    for (const slot of slots) this.slot(slot).extend(bytes);
  }

  slot(slot: number): Region {
    return this.#open(gradientRegion(this.directory, this.#generation!, slot));
  }

  sum(): Region {
    return this.#open(sumRegion(this.directory, this.#generation!));
  }

  close(): void {
    for (const region of this.#regions.values()) region.close();
    this.#regions.clear();
  }

  #open(path: string): Region {
    let region = this.#regions.get(path);
    if (!region) {
      region = new Region(path, { mapped: this.mapped });
      this.#regions.set(path, region);
    }
    return region;
  }
}
