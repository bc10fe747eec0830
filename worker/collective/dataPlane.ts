import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError, toCoordError } from "../../shared/errors.ts";
import { blockBytes } from "../../shared/kernels/kernels.ts";
import { type WireFormat, wireLength } from "../../shared/kernels/wireFormat.ts";
import { createLogger } from "../../shared/log.ts";
import { canMapInPlace } from "../../shared/regions/mapping.ts";
import { type RegionTerms, readTerms } from "../../shared/regions/regionDirectory.ts";
import { coordHome, sharedMemoryDirectory } from "../../shared/runPaths.ts";
import { BufferPool } from "../../shared/tensors/bufferPool.ts";
import { type Buckets, bucketsHeld, planBuckets } from "./buckets.ts";
import { stagesOf } from "./inPlaceReduction.ts";
import { InPlaceRegions, type InPlaceRound } from "./inPlaceRegions.ts";
import { RegionSet } from "./regionSet.ts";

/** Failures of the run rather than of the way that gradients took: another way would meet them again. */
const final = new Set([
  "STALE_GENERATION",
  "COORDINATOR_UNREACHABLE",
  "DIVERGED",
  "DAMAGED",
  "NOT_FINITE",
  "UNAUTHENTICATED",
]);

/** Gradients of one worker that are kept until all its slots are computed, in bytes, when they are more than one. */
const maxKeptBytes = 256 * 1024 ** 2;

/** Vectors of one round in the kernels' memory, whose addresses end at 4 GiB, in bytes. */
const maxInPlaceBytes = 3 * 1024 ** 3;

/** A round in shared memory: where the vectors are, or bucket by bucket through regions that are smaller. */
export type SharedPlan =
  | { readonly kind: "in-place"; readonly terms: RegionTerms; readonly round: InPlaceRound; readonly stages: number }
  | BucketPlan;

/** A round in shared memory that blocks are copied to and from. */
export interface BucketPlan {
  readonly kind: "buckets";
  readonly terms: RegionTerms;
  readonly buckets: Buckets;
  readonly regions: RegionSet;
  /** Length of each region. */
  readonly regionBytes: number;
}

/** What a round is about. */
export interface RoundShape {
  readonly generation: bigint;
  readonly worldSize: number;
  /** Slots of the run, and those of this worker. */
  readonly slotCount: number;
  readonly slots: readonly number[];
  /** Length of the vector in bytes of float32. */
  readonly bytes: number;
}

/** Another member of the generation cannot share memory, so none does. */
export class Declined extends Error {
  override readonly name = "Declined";
}

/** Chooses between shared memory and gRPC for each round of a worker. */
export class DataPlane {
  format: WireFormat = "float32";
  /** Memory for vectors on their way over gRPC, one going up and one coming down. */
  readonly wires = new BufferPool(2);
  #choice: RunConfig["dataPlane"] = "grpc";
  readonly #directory: string;
  readonly #regions: RegionSet;
  readonly #inPlaceRegions: InPlaceRegions;
  /** False where blocks are to be copied although they need not be. */
  inPlace = canMapInPlace;
  #declinedIn: bigint | undefined;

  constructor(caller: { readonly runId: string }) {
    this.#directory = sharedMemoryDirectory(coordHome(), caller.runId);
    this.#regions = new RegionSet(this.#directory);
    this.#inPlaceRegions = new InPlaceRegions(this.#directory);
  }

  /** How gradients travel from now on. */
  set choice(choice: RunConfig["dataPlane"]) {
    this.#choice = choice;
    this.#declinedIn = undefined;
  }

  /** How a round goes through shared memory; undefined when it goes over gRPC. */
  plan(shape: RoundShape): SharedPlan | undefined {
    const { bytes, generation, slotCount, slots } = shape;
    if (this.#choice === "grpc" || this.#declinedIn === generation) return undefined;
    const terms = readTerms(this.#directory);
    if (!terms) return this.#without("its regions are not on this host");
    if (slots.length > 1 && slots.length * bytes > maxKeptBytes) {
      // gRPC takes gradients one by one, as they are computed.
      return this.#without(`the gradients of ${slots.length} slots take more than ${maxKeptBytes / 1024 ** 2} MiB`);
    }
    const wireBytes = wireLength(this.format, bytes / 4);
    if (this.inPlace && (slotCount + 1) * wireBytes <= Math.min(terms.budgetBytes, maxInPlaceBytes)) {
      return this.#planInPlace(terms, shape, wireBytes);
    }
    const regionBlockBytes = wireLength(this.format, blockBytes / 4);
    const blocks = Math.ceil(bytes / blockBytes);
    const buckets = planBuckets({
      blocks,
      blockBytes: regionBlockBytes,
      slots: slotCount,
      budgetBytes: terms.budgetBytes,
    });
    if (!buckets) {
      const needed = (slotCount + 1) * bucketsHeld * regionBlockBytes;
      return this.#without(
        `${slotCount} slots need at least ${needed} bytes of it, ${terms.budgetBytes} may be used; a container's /dev/shm grows with docker run --shm-size`,
      );
    }
    return {
      kind: "buckets",
      terms,
      buckets,
      regions: this.#regions,
      regionBytes: bucketsHeld * buckets.perBucket * regionBlockBytes,
    };
  }

  #planInPlace(terms: RegionTerms, shape: RoundShape, wireBytes: number): SharedPlan | undefined {
    const blocks = Math.ceil(shape.bytes / blockBytes);
    const { generation, slotCount: slots, worldSize } = shape;
    try {
      const round = this.#inPlaceRegions.prepare(generation, { worldSize, slots, blocks }, wireBytes);
      return { kind: "in-place", terms, round, stages: stagesOf(blocks) };
    } catch (thrown) {
      this.#giveUp(toCoordError(thrown).message, thrown);
      return undefined;
    }
  }

  /** Decides about a round in shared memory that failed: returns where gRPC may do, throws where it would not. */
  failed(thrown: unknown, generation: bigint, signal: AbortSignal): void {
    signal.throwIfAborted();
    if (thrown instanceof Declined && this.#choice !== "shared") {
      this.#declinedIn = generation;
      return;
    }
    const isFinal = thrown instanceof CoordError && final.has(thrown.code);
    if (!isFinal || thrown.code === "DAMAGED") this.#giveUp(toCoordError(thrown).message, thrown);
    if (isFinal) throw thrown;
  }

  close(): void {
    this.#regions.close();
    this.#inPlaceRegions.close();
  }

  /** Nothing is broken, but this run's rounds cannot go through shared memory. */
  #without(reason: string): undefined {
    if (this.#choice === "shared") throw this.#unavailable(reason);
    this.#choice = "grpc";
    createLogger("worker").info({ reason }, "gradients go over gRPC, not through shared memory");
  }

  #giveUp(reason: string, cause: unknown): void {
    if (this.#choice === "shared") throw this.#unavailable(reason, cause);
    createLogger("worker").warn(
      { reason },
      `shared memory in ${this.#directory} does not work; gradients go over gRPC (--data-plane grpc does so from the start)`,
    );
    this.#choice = "grpc";
  }

  #unavailable(reason: string, cause?: unknown): CoordError {
    return new CoordError(
      "LIMIT_EXCEEDED",
      `Gradients cannot go through shared memory in ${this.#directory} (${reason}). Free space there, set COORD_SHM_DIR, or use --data-plane grpc.`,
      { cause },
    );
  }
}
