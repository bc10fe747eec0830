import { type FileHandle, rm } from "node:fs/promises";
import { CoordError } from "../../shared/errors.ts";
import { gradientRegion, readKey, sumRegion } from "../../shared/regions/regionDirectory.ts";
import { openForReading, openForWriting, readRegion, writeRegion } from "../../shared/regions/regionFile.ts";

/** A worker's side of the regions in shared memory: writes its gradients and reads the sums. */
export class SharedRegion {
  #written: Promise<unknown> = Promise.resolve();
  #own: { readonly key: string; readonly handle: FileHandle } | undefined;

  constructor(
    private readonly directory: string,
    private readonly worker: { readonly workerId: string; readonly incarnation: string },
  ) {}

  /** The key of the coordinator that is there now; undefined where its memory is not shared. */
  get key(): string | undefined {
    return readKey(this.directory);
  }

  /** Leaves a gradient in this worker's region. */
  writeGradient(key: string, gradient: Uint8Array): Promise<void> {
    // After the write before, which goes on when the generation that wanted it has ended.
    const written = this.#written.then(() => this.#write(key, gradient));
    this.#written = written.catch(() => {});
    return written;
  }

  /** Fills `into` with the sum of the round that a generation has just summed, and returns its digest. */
  async readSum(generation: bigint, into: Uint8Array): Promise<bigint> {
    const region = await openForReading(sumRegion(this.directory, generation)).catch((cause: unknown) => {
      // The coordinator removes it when it writes the next generation's.
      throw new CoordError("STALE_GENERATION", `The sum of generation ${generation} is gone.`, { cause });
    });
    try {
      return await readRegion(region, into);
    } finally {
      await region.close();
    }
  }

  async close(): Promise<void> {
    await this.#written;
    await this.#own?.handle.close();
    this.#own = undefined;
  }

  async #write(key: string, gradient: Uint8Array): Promise<void> {
    // A coordinator that was started again has made the directory anew.
    if (this.#own?.key !== key) {
      await this.#own?.handle.close();
      this.#own = undefined;
      const path = gradientRegion(this.directory, this.worker.workerId, this.worker.incarnation);
      this.#own = { key, handle: await openForWriting(path) };
    }
    try {
      await writeRegion(this.#own.handle, gradient);
    } catch (thrown) {
      // A gradient that does not fit must not keep its share of the memory.
      await rm(gradientRegion(this.directory, this.worker.workerId, this.worker.incarnation), { force: true });
      throw thrown;
    }
  }
}
