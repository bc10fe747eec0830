import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError, toCoordError } from "../../shared/errors.ts";
import {
  checkPrivate,
  generationOf,
  type RegionTerms,
  regionBudget,
  termsFile,
} from "../../shared/regions/regionDirectory.ts";

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

/** The coordinator's side of a run's regions in shared memory: makes their directory, and clears it up. */
export class SharedRegions {
  /** Whoever knows it sees the coordinator's own directory. Another one for each coordinator of the run. */
  readonly key = randomUUID();

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
    const terms: RegionTerms = { key: this.key, budgetBytes: regionBudget(directory) };
    writeFileSync(termsFile(directory), JSON.stringify(terms), { mode: 0o600, flag: "wx" });
  }

  /** Frees what generations before this one have left. */
  async keepOnly(generation: bigint): Promise<void> {
    for (const name of await readdir(this.directory)) {
      const its = generationOf(name);
      if (its !== undefined && its < generation) await rm(join(this.directory, name), { force: true });
    }
  }

  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}
