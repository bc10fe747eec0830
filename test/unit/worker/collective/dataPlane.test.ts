import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { SharedRegions } from "../../../../coordinator/collective/sharedRegions.ts";
import { CoordError } from "../../../../shared/errors.ts";
import { sharedMemoryDirectory } from "../../../../shared/runPaths.ts";
import { DataPlane } from "../../../../worker/collective/dataPlane.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const caller = { runId: "run", workerId: "0/0", incarnation: "one" };
const signal = new AbortController().signal;
const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });

describe("DataPlane", () => {
  it("goes over gRPC on another host, unless shared memory was asked for", async () => {
    const plane = planeWith({ shared: false });
    plane.choice = "auto";
    expect(await plane.attempt(unreachable, async () => "grpc", signal)).toBe("grpc");
    plane.choice = "shared";
    await expect(plane.attempt(unreachable, unreachable, signal)).rejects.toThrow(
      /not on this host.*--data-plane grpc/,
    );
  });

  it("goes through shared memory where that is possible, and over gRPC where that was asked for", async () => {
    const plane = planeWith({ shared: true });
    for (const choice of ["auto", "shared"] as const) {
      plane.choice = choice;
      expect(await plane.attempt(async (_, key) => key, unreachable, signal)).toHaveLength(36);
    }
    plane.choice = "grpc";
    expect(await plane.attempt(unreachable, async () => "grpc", signal)).toBe("grpc");
  });

  it("goes over gRPC for good once the memory was full, or says so where shared memory was asked for", async () => {
    vi.stubEnv("COORD_LOG_LEVEL", "silent");
    const plane = planeWith({ shared: true });
    plane.choice = "shared";
    await expect(plane.attempt(() => Promise.reject(full), unreachable, signal)).rejects.toMatchObject({
      code: "LIMIT_EXCEEDED",
      message: expect.stringMatching(/ENOSPC.*Free space there, set COORD_SHM_DIR, or use --data-plane grpc/),
    });
    plane.choice = "auto";
    expect(
      await plane.attempt(
        () => Promise.reject(full),
        async () => "grpc",
        signal,
      ),
    ).toBe("grpc");
    expect(await plane.attempt(unreachable, async () => "grpc", signal)).toBe("grpc");
  });

  it("does not try another way for what is wrong with the round itself", async () => {
    const plane = planeWith({ shared: true });
    plane.choice = "auto";
    const stale = new CoordError("STALE_GENERATION", "It is over.");
    await expect(plane.attempt(() => Promise.reject(stale), unreachable, signal)).rejects.toBe(stale);
    const gone = AbortSignal.abort(stale);
    await expect(plane.attempt(() => Promise.reject(full), unreachable, gone)).rejects.toBe(stale);
  });
});

function planeWith({ shared }: { shared: boolean }): DataPlane {
  const home = temporaryDirectory();
  vi.stubEnv("COORD_HOME", home);
  vi.stubEnv("COORD_SHM_DIR", join(home));
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
  if (shared) new SharedRegions(sharedMemoryDirectory(home, caller.runId));
  return new DataPlane(caller);
}

async function unreachable(): Promise<never> {
  throw new Error("This way was not to be taken.");
}
