import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../shared/process/packageRoot.ts";

/** The version in package.json. */
export function programVersion(): string {
  const { version } = JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8")) as { version: string };
  return version;
}
