import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { type FileHandle, readdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError, toCoordError } from "../../shared/errors.ts";
import {
  checkPrivate,
  gradientPrefix,
  gradientRegion,
  keyFile,
  sumRegion,
} from "../../shared/regions/regionDirectory.ts";
import { openForReading, openForWriting, readRegion, writeRegion } from "../../shared/regions/regionFile.ts";

/** Makes a run's regions; undefined when they are not wanted, or not insisted on and not to be had, which is told why. */
export function openRegions(
  choice: RunConfig["dataPlane"],
  directory: string,
  onRefused: (reason: string) => void,
): SharedRegions | undefined {
  if (choice === "grpc") return undefined;
  try {
    return new SharedRegions(directory);
  } catch (cause) {
    if (choice === "auto") {
      onRefused(`No shared memory for gradients, they go over gRPC: ${toCoordError(cause).message}`);
      return undefined;
    }
    throw new CoordError(
      "PREFLIGHT_REFUSED",
      `The directory ${directory} for gradients in shared memory cannot be made. Set COORD_SHM_DIR to one of your own, or use --data-plane grpc.`,
      { cause },
    );
  }
}

/** The coordinator's side of a run's regions in shared memory: reads what its workers wrote and writes sums for them. */
export class SharedRegions {
  /** Whoever knows it sees the coordinator's own directory. Another one for each coordinator of the run. */
  readonly key = randomUUID();
  readonly #gradients = new Map<string, { readonly path: string; readonly handle: Promise<FileHandle> }>();
  #sum: { readonly generation: bigint; readonly handle: FileHandle } | undefined;

  /** Makes the directory anew, empty. Throws what the system says where it cannot. */
  constructor(private readonly directory: string) {
    try {
      mkdirSync(directory, { mode: 0o700 });
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") throw thrown;
      // What an earlier coordinator of the run left; another user's is not ours to touch.
      checkPrivate(directory);
      rmSync(directory, { recursive: true });
      mkdirSync(directory, { mode: 0o700 });
    }
    writeFileSync(keyFile(directory), this.key, { mode: 0o600, flag: "wx" });
  }

  /** Fills `into` with a worker's gradient and returns the digest of what was read. */
  async readGradient(worker: { workerId: string; incarnation: string }, into: Uint8Array): Promise<bigint> {
    const path = gradientRegion(this.directory, worker.workerId, worker.incarnation);
    let region = this.#gradients.get(worker.workerId);
    if (region?.path !== path) {
      void region?.handle.then((handle) => handle.close());
      region = { path, handle: openForReading(path) };
      this.#gradients.set(worker.workerId, region);
      region.handle.catch(() => this.#gradients.delete(worker.workerId));
      await this.#removeOthers(gradientPrefix(worker.workerId), path);
    }
    return readRegion(await region.handle, into);
  }

  /** Writes the sum for the members of a generation; one write at a time. */
  async writeSum(generation: bigint, sum: Uint8Array): Promise<void> {
    if (this.#sum?.generation !== generation) {
      await this.#sum?.handle.close();
      this.#sum = undefined;
      const path = sumRegion(this.directory, generation);
      this.#sum = { generation, handle: await openForWriting(path) };
      await this.#removeOthers("sum-", path);
    }
    try {
      await writeRegion(this.#sum.handle, sum);
    } catch (thrown) {
      // A sum that does not fit must not keep its share of the memory.
      await rm(sumRegion(this.directory, generation), { force: true });
      throw thrown;
    }
  }

  async remove(): Promise<void> {
    for (const { handle } of this.#gradients.values()) await (await handle).close();
    await this.#sum?.handle.close();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Frees what workers and generations before the present ones have left. */
  async #removeOthers(prefix: string, path: string): Promise<void> {
    for (const name of await readdir(this.directory)) {
      if (name.startsWith(prefix) && name !== basename(path)) await rm(join(this.directory, name), { force: true });
    }
  }
}
