import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { SharedRegions } from "../../../../coordinator/collective/sharedRegions.ts";
import { CoordError } from "../../../../shared/errors.ts";
import { canMapInPlace } from "../../../../shared/regions/mapping.ts";
import { sharedMemoryDirectory } from "../../../../shared/runPaths.ts";
import { DataPlane, Declined } from "../../../../worker/collective/dataPlane.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const shape = { generation: 3n, worldSize: 2, slotCount: 2, slots: [0], bytes: 1024 ** 2 };
const signal = new AbortController().signal;
const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });

describe("DataPlane", () => {
  it("goes through shared memory where that is possible, and over gRPC where that was asked for", () => {
    for (const choice of ["auto", "shared"] as const) expect(planeWith(choice).plan(shape)?.terms.key).toHaveLength(36);
    expect(planeWith("grpc").plan(shape)).toBeUndefined();
  });

  it.runIf(canMapInPlace)("sums vectors where they are if all fit, and otherwise block by block", () => {
    for (const format of ["float32", "bfloat16"] as const) {
      const plane = planeWith("auto");
      plane.format = format;
      expect(plane.plan(shape)?.kind).toBe("in-place");
      expect(plane.plan({ ...shape, slotCount: 8000 })?.kind).toBe("buckets");
      plane.inPlace = false;
      expect(plane.plan(shape)?.kind).toBe("buckets");
      plane.close();
    }
  });

  it("goes over gRPC on another host, unless shared memory was asked for", () => {
    expect(planeWith("auto", { here: false }).plan(shape)).toBeUndefined();
    expect(() => planeWith("shared", { here: false }).plan(shape)).toThrow(/not on this host.*--data-plane grpc/);
  });

  it("goes over gRPC where memory is short, or says how much is needed", () => {
    const many = { ...shape, slotCount: 2 ** 40 };
    expect(planeWith("auto").plan(many)).toBeUndefined();
    expect(() => planeWith("shared").plan(many)).toThrow(/need at least \d+ bytes.*--shm-size/);
  });

  it("goes over gRPC where a worker would have to keep many gradients", () => {
    const many = { ...shape, slots: [0, 1, 2, 3], bytes: 100 * 1024 ** 2 };
    expect(planeWith("auto").plan(many)).toBeUndefined();
    expect(planeWith("auto").plan({ ...many, slots: [0] })).toBeDefined();
  });

  it("goes over gRPC for good once the memory was full, or says so where shared memory was asked for", () => {
    const shared = planeWith("shared");
    expect(() => shared.failed(full, 3n, signal)).toThrow(
      /ENOSPC.*Free space there, set COORD_SHM_DIR, or use --data-plane grpc/,
    );
    const auto = planeWith("auto");
    auto.failed(full, 3n, signal);
    expect(auto.plan({ ...shape, generation: 4n })).toBeUndefined();
  });

  it("tries again in the next generation when another member could not", () => {
    const plane = planeWith("auto");
    plane.failed(new Declined("worker 1/0 does not share its memory"), 3n, signal);
    expect(plane.plan(shape)).toBeUndefined();
    expect(plane.plan({ ...shape, generation: 4n })).toBeDefined();
  });

  it("does not try another way for what is wrong with the round itself", () => {
    const plane = planeWith("auto");
    const stale = new CoordError("STALE_GENERATION", "It is over.");
    expect(() => plane.failed(stale, 3n, signal)).toThrow(stale);
    expect(() => plane.failed(full, 3n, AbortSignal.abort(stale))).toThrow(stale);
    expect(plane.plan(shape)).toBeDefined();
  });

  it("begins the step anew, over gRPC, when a sum that others have cannot be read", () => {
    const plane = planeWith("auto");
    const damaged = new CoordError("DAMAGED", "The sum of step 4 could not be read.");
    expect(() => plane.failed(damaged, 3n, signal)).toThrow(damaged);
    expect(plane.plan({ ...shape, generation: 4n })).toBeUndefined();
  });
});

function planeWith(choice: DataPlane["choice"], { here }: { here: boolean } = { here: true }): DataPlane {
  const home = temporaryDirectory();
  vi.stubEnv("COORD_HOME", home);
  vi.stubEnv("COORD_SHM_DIR", join(home));
  vi.stubEnv("COORD_LOG_LEVEL", "silent");
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
  if (here) new SharedRegions(sharedMemoryDirectory(home, "run"));
  const plane = new DataPlane({ runId: "run" });
  plane.choice = choice;
  return plane;
}
