import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { packageRoot } from "../../../../shared/process/packageRoot.ts";

describe("packageRoot", () => {
  it("is the directory of this package", () => {
    expect(JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8"))).toMatchObject({ name: "coord" });
  });
});
