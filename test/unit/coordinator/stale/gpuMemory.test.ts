import { describe, expect, it } from "vitest";
import { parseComputeApps } from "../../../../coordinator/stale/gpuMemory.ts";

describe("parseComputeApps", () => {
  it("adds up a process's memory over all GPUs and skips what is no number", () => {
    const text = "4711, 1024\n4711, 512\n4712, 10\n4713, [N/A]\nNo running processes found\n";
    expect([...parseComputeApps(text)]).toEqual([
      [4711, 1536 * 1024 * 1024],
      [4712, 10 * 1024 * 1024],
    ]);
  });
});
