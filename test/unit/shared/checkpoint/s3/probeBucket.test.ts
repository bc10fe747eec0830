import { describe, expect, it } from "vitest";
import { probeStorage } from "../../../../../shared/checkpoint/s3/probeBucket.ts";
import { MemoryObjects } from "../../../../support/memoryObjects.ts";

describe("probeStorage", () => {
  it("accepts a server that keeps the first of two objects, and leaves nothing", async () => {
    const storage = new MemoryObjects();
    await probeStorage(storage, "runs/");
    expect(storage.bucket.objects.size).toBe(0);
  });

  it("refuses a server that ignores the condition", async () => {
    const storage = new MemoryObjects();
    storage.putIfAbsent = async (key, bytes) => {
      await storage.put(key, [bytes], bytes.byteLength);
      return true;
    };
    await expect(probeStorage(storage, "runs/")).rejects.toMatchObject({ code: "PREFLIGHT_REFUSED" });
  });
});
