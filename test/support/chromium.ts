import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

/** Debian's own, or the one that COORD_CHROMIUM names. */
const executablePath = process.env["COORD_CHROMIUM"] ?? "/usr/bin/chromium";

export const hasChromium = existsSync(executablePath);

/** For the title of tests that need it. */
export const chromiumHint = `(skipped where there is no ${executablePath})`;

export function openChromium(): Promise<Browser> {
  // Its sandbox needs a user that is not root.
  return chromium.launch({ executablePath, args: ["--no-sandbox"] });
}
