import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { retryReference } from "../../coordinator/launch/retryRules.ts";
import { configReference, errorReference } from "../../shared/config/reference.ts";
import { settings } from "../../shared/config/settings.ts";
import { errorCatalogue, exitCodes } from "../../shared/errors.ts";
import { packageRoot } from "../../shared/process/packageRoot.ts";

const readme = readFileSync(join(packageRoot(), "README.md"), "utf8");

describe("README.md", () => {
  it("holds every setting as the schema has it (npm run docs writes it)", () => {
    expect(section("config-reference")).toBe(configReference());
    for (const { flag } of settings) expect(configReference()).toContain(`\`--${flag}\``);
  });

  it("holds every error with its exit code as the catalogue has it (npm run docs writes it)", () => {
    expect(section("error-reference")).toBe(errorReference());
    for (const [code, { exitCode }] of Object.entries(errorCatalogue)) {
      expect(errorReference()).toContain(`| \`${code}\` | ${exitCode} |`);
    }
  });

  it("holds the rules of what is started again (npm run docs writes it)", () => {
    expect(section("retry-reference")).toBe(retryReference());
  });

  it("names every exit code", () => {
    for (const code of Object.values(exitCodes)) expect(readme).toMatch(new RegExp(`(^|\\s)${code} [a-z]`, "m"));
  });
});

function section(name: string): string {
  const [start, end] = [`<!-- ${name} -->\n`, `\n<!-- /${name} -->`];
  return readme.slice(readme.indexOf(start) + start.length, readme.indexOf(end));
}
