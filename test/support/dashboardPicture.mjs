// Draws the README's picture of the dashboard: a real run of the demo on 2 nodes × 4 workers, one of which is killed on
// the way, seen by Chromium; written as deploy/demo/dashboard.png.
//   npm run build && node test/support/dashboardPicture.mjs
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const home = mkdtempSync(join(tmpdir(), "coord-picture-"));
const env = { ...process.env, COORD_HOME: join(home, "home"), COORD_OUTPUT: join(home, "output") };
const coord = (...args) => execFileSync(join(root, "node_modules", ".bin", "coord"), args, { env, encoding: "utf8" });
function status() {
  try {
    return JSON.parse(coord("status", "--json"));
  } catch {
    return { step: 0, workers: [] };
  }
}

const flags =
  "--nodes 2 --gpus 4 --dashboard --heartbeat-timeout-ms 60000 --eval-steps 3 --save-steps 6 --num-train-epochs 4".split(
    " ",
  );
const run = coord("launch", "--detach", ...flags).trim();
try {
  await until(({ step }) => step >= 9);
  process.kill(status().workers[5].pid, "SIGKILL");
  await until(({ step, workers }) => step >= 20 && workers.every(({ state }) => state !== "starting"));
  const { url } = JSON.parse(readFileSync(join(home, "home", "runs", run, "dashboard.json"), "utf8"));
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  const page = await browser.newPage({ viewport: { width: 1180, height: 1130 }, colorScheme: "light" });
  await page.goto(url);
  await page.locator(".cell").nth(5).click();
  await page.mouse.move(0, 0);
  // The click has scrolled the worker into view; the picture begins at the top.
  await page.evaluate(() => scrollTo(0, 0));
  await delay(1500);
  const path = join(root, "deploy", "demo", "dashboard.png");
  await page.screenshot({ path });
  await browser.close();
  console.log(`${path}: ${statSync(path).size} bytes`);
} finally {
  try {
    coord("stop", "--now", run);
  } catch {
    // On a busy host the answer may take longer than the wish.
    await delay(20_000);
  }
  rmSync(home, { recursive: true, force: true });
}

async function until(condition) {
  for (let tries = 0; tries < 600; tries++) {
    if (condition(status())) return;
    await delay(500);
  }
  throw new Error("The run never came to where the picture is taken.");
}
