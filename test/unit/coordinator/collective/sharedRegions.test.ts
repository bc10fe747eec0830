import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openRegions, SharedRegions } from "../../../../coordinator/collective/sharedRegions.ts";
import { gradientRegion, readTerms, sumRegion, termsFile } from "../../../../shared/regions/regionDirectory.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

describe("regions in shared memory", () => {
  it("are known by their key, which another coordinator of the run changes", () => {
    const directory = join(temporaryDirectory(), "run");
    const first = new SharedRegions(directory);
    expect(readTerms(directory)).toEqual({ key: first.key, budgetBytes: expect.any(Number) });
    writeFileSync(sumRegion(directory, 1n), "what the first one's workers left");
    const second = new SharedRegions(directory);
    expect(second.key).not.toBe(first.key);
    expect(readTerms(directory)?.key).toBe(second.key);
    expect(readdirSync(directory)).toEqual(["terms"]);
  });

  it("give the memory of generations before the present one back", async () => {
    const directory = join(temporaryDirectory(), "run");
    const regions = new SharedRegions(directory);
    for (const generation of [8n, 9n, 10n]) {
      writeFileSync(sumRegion(directory, generation), "");
      writeFileSync(gradientRegion(directory, generation, 3), "");
    }
    await regions.keepOnly(9n);
    expect(readdirSync(directory).sort()).toEqual(["gradient-10-3", "gradient-9-3", "sum-10", "sum-9", "terms"]);
    await regions.remove();
    expect(existsSync(directory)).toBe(false);
  });

  it("are not made or trusted where others could enter", () => {
    const directory = join(temporaryDirectory(), "run");
    mkdirSync(directory);
    chmodSync(directory, 0o755);
    writeFileSync(termsFile(directory), JSON.stringify({ key: "planted", budgetBytes: 1e9 }));
    expect(() => new SharedRegions(directory)).toThrow(/not a directory of this user alone/);
    expect(readTerms(directory)).toBeUndefined();
    const reasons: string[] = [];
    expect(openRegions("auto", directory, (reason) => reasons.push(reason))).toBeUndefined();
    expect(reasons).toEqual([expect.stringContaining("not a directory of this user alone")]);
    expect(() => openRegions("shared", directory, () => {})).toThrow(/Set COORD_SHM_DIR/);
  });
});
