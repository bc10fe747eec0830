import { chmodSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { openRegions, SharedRegions } from "../../../../coordinator/collective/sharedRegions.ts";
import { digest64 } from "../../../../shared/tensors/digest.ts";
import { SharedRegion } from "../../../../worker/collective/sharedRegion.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const worker = { workerId: "1/0", incarnation: "first" };

describe("regions in shared memory", () => {
  const block = 2 * 1024 ** 2;
  it.each([0, 4, 36, block - 4, block, block + 4, 2 * block + 12])(
    "carry gradients and sums of %i bytes unchanged, with their digests",
    async (length) => {
      const { coordinator, region } = pair();
      // What was there before, and longer, must not matter.
      await region.writeGradient(region.key!, new Uint8Array(3 * block).fill(9));
      await coordinator.writeSum(7n, new Uint8Array(3 * block).fill(9));
      const gradient = new Uint8Array(length).map((_, index) => index * 7 + (index >> 8));
      await region.writeGradient(region.key!, gradient);
      const received = new Uint8Array(length);
      expect(await coordinator.readGradient(worker, received)).toBe(digest64(gradient));
      expect(Buffer.compare(received, gradient)).toBe(0);

      await coordinator.writeSum(7n, received);
      const sum = new Uint8Array(length);
      expect(await region.readSum(7n, sum)).toBe(digest64(gradient));
      expect(Buffer.compare(sum, gradient)).toBe(0);
    },
  );

  it("are known by their key, which another coordinator of the run changes", () => {
    const { coordinator, directory, region } = pair();
    expect(region.key).toBe(coordinator.key);
    const successor = new SharedRegions(directory);
    expect(successor.key).not.toBe(coordinator.key);
    expect(region.key).toBe(successor.key);
  });

  it("go on with the next coordinator of the run", async () => {
    const { directory, region } = pair();
    await region.writeGradient(region.key!, Uint8Array.of(1, 2, 3, 4));
    const successor = new SharedRegions(directory);
    onTestFinished(() => successor.remove());
    await region.writeGradient(region.key!, Uint8Array.of(5, 6, 7, 8));
    const received = new Uint8Array(4);
    await successor.readGradient(worker, received);
    expect([...received]).toEqual([5, 6, 7, 8]);
  });

  it("give the memory of workers and generations before the present ones back", async () => {
    const { coordinator, directory, region } = pair();
    await region.writeGradient(region.key!, new Uint8Array(4));
    await coordinator.readGradient(worker, new Uint8Array(4));
    await coordinator.writeSum(1n, new Uint8Array(4));
    const restarted = { workerId: "1/0", incarnation: "second" };
    const itsRegion = new SharedRegion(directory, restarted);
    onTestFinished(() => itsRegion.close());
    await itsRegion.writeGradient(coordinator.key, new Uint8Array(4));
    await coordinator.readGradient(restarted, new Uint8Array(4));
    await coordinator.writeSum(2n, new Uint8Array(4));
    expect(readdirSync(directory).sort()).toEqual(["gradient-1-0-second", "key", "sum-2"]);
    await expect(region.readSum(1n, new Uint8Array(4))).rejects.toMatchObject({ code: "STALE_GENERATION" });
    await coordinator.remove();
    expect(existsSync(directory)).toBe(false);
  });

  it("are refused when they are shorter than was said, links, or named by a stranger's path", async () => {
    const { coordinator, directory, region } = pair();
    await region.writeGradient(region.key!, new Uint8Array(4));
    await expect(coordinator.readGradient(worker, new Uint8Array(8))).rejects.toThrow(/shorter/);
    writeFileSync(join(directory, "secret"), "1234");
    symlinkSync(join(directory, "secret"), join(directory, "gradient-2-0-first"));
    const linked = coordinator.readGradient({ workerId: "2/0", incarnation: "first" }, new Uint8Array(4));
    await expect(linked).rejects.toThrow(/ELOOP/);
    for (const [workerId, incarnation] of [
      ["../..", "x"],
      ["0/0", "../secret"],
      ["0/0", ""],
    ]) {
      const hostile = coordinator.readGradient({ workerId: workerId!, incarnation: incarnation! }, new Uint8Array(4));
      await expect(hostile).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    }
  });

  it("are not made or trusted where others could enter", () => {
    const directory = join(temporaryDirectory(), "run");
    mkdirSync(directory);
    chmodSync(directory, 0o755);
    writeFileSync(join(directory, "key"), "planted");
    expect(() => new SharedRegions(directory)).toThrow(/not a directory of this user alone/);
    expect(new SharedRegion(directory, worker).key).toBeUndefined();
    const reasons: string[] = [];
    expect(openRegions("auto", directory, (reason) => reasons.push(reason))).toBeUndefined();
    expect(reasons).toEqual([expect.stringContaining("not a directory of this user alone")]);
    expect(() => openRegions("shared", directory, () => {})).toThrow(/Set COORD_SHM_DIR/);
  });
});

function pair() {
  const directory = join(temporaryDirectory(), "run");
  const coordinator = new SharedRegions(directory);
  const region = new SharedRegion(directory, worker);
  onTestFinished(async () => {
    await region.close();
    await coordinator.remove();
  });
  return { coordinator, directory, region };
}
