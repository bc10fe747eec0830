import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError, toCoordError } from "../../shared/errors.ts";
import { createLogger } from "../../shared/log.ts";
import { coordHome, sharedMemoryDirectory } from "../../shared/runPaths.ts";
import { SharedRegion } from "./sharedRegion.ts";

/** Failures of the run rather than of the way that gradients took: another way would meet them again. */
const final = new Set(["STALE_GENERATION", "COORDINATOR_UNREACHABLE", "DIVERGED", "NOT_FINITE", "UNAUTHENTICATED"]);

/** Chooses between shared memory and gRPC for each gradient and sum of a worker. */
export class DataPlane {
  choice: RunConfig["dataPlane"] = "grpc";
  readonly #directory: string;
  readonly #region: SharedRegion;

  constructor(caller: { readonly runId: string; readonly workerId: string; readonly incarnation: string }) {
    this.#directory = sharedMemoryDirectory(coordHome(), caller.runId);
    this.#region = new SharedRegion(this.#directory, caller);
  }

  /** Goes through shared memory where the choice and the host allow; with `auto`, over gRPC for good once that failed. */
  async attempt<T>(
    shared: (region: SharedRegion, key: string) => Promise<T>,
    overGrpc: () => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const key = this.choice === "grpc" ? undefined : this.#region.key;
    if (key === undefined) {
      if (this.choice === "shared") throw this.#unavailable("its regions are not on this host");
      return overGrpc();
    }
    try {
      return await shared(this.#region, key);
    } catch (thrown) {
      signal.throwIfAborted();
      if (thrown instanceof CoordError && final.has(thrown.code)) throw thrown;
      if (this.choice === "shared") throw this.#unavailable(toCoordError(thrown).message, thrown);
      createLogger("worker").warn(
        { reason: String(thrown) },
        `shared memory in ${this.#directory} does not work; gradients go over gRPC (--data-plane grpc does so from the start)`,
      );
      this.choice = "grpc";
      return overGrpc();
    }
  }

  close(): Promise<void> {
    return this.#region.close();
  }

  #unavailable(reason: string, cause?: unknown): CoordError {
    return new CoordError(
      "LIMIT_EXCEEDED",
      `Gradients cannot go through shared memory in ${this.#directory} (${reason}). Free space there, set COORD_SHM_DIR, or use --data-plane grpc.`,
      { cause },
    );
  }
}
