import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { packageRoot } from "../../../shared/process/packageRoot.ts";

it("shared/gen is what `npm run generate` makes of proto/", () => {
  const directory = mkdtempSync(join(tmpdir(), "coord-gen-"));
  try {
    const buf = join(packageRoot(), "node_modules", ".bin", "buf");
    execFileSync(buf, ["generate", "--output", directory], { cwd: packageRoot() });
    const made = sources(join(directory, "shared", "gen"));
    expect([...made.keys()].length).toBeGreaterThan(7);
    expect(sources(join(packageRoot(), "shared", "gen"))).toEqual(made);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}, 30_000);

function sources(directory: string): Map<string, string> {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  return new Map(names.sort().map((name) => [name, readFileSync(join(directory, name), "utf8")]));
}
