import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { chromiumHint, hasChromium, openChromium } from "../support/chromium.ts";
import { CoordHome, eventually } from "../support/coord.ts";
import { SimulatedRun } from "../support/simulatedRun.ts";
import { smallRun } from "../support/smallRun.ts";

const axePath = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

describe.skipIf(!hasChromium)(`the dashboard in a browser ${chromiumHint}`, () => {
  let browser: Browser;
  let home: CoordHome;
  let page: Page;
  /** What the page complained about, and what it asked of others than its server. */
  let complaints: string[];
  beforeAll(async () => {
    browser = await openChromium();
  });
  afterAll(() => browser.close());
  beforeEach(async () => {
    home = await CoordHome.create();
    complaints = [];
  });
  afterEach(async () => {
    await page.close();
    await home.remove();
    expect(complaints).toEqual([]);
  });

  async function open(url: string, options: { width?: number; height?: number; dark?: boolean } = {}): Promise<void> {
    page = await browser.newPage({
      viewport: { width: options.width ?? 1440, height: options.height ?? 900 },
      colorScheme: options.dark ? "dark" : "light",
    });
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("request", (request) => request.url().startsWith(url) || complaints.push(`asked ${request.url()}`));
    await page.goto(url);
    await page.getByText("Training on").first().waitFor();
  }

  const figure = (name: string) =>
    page.locator(".figures div", { has: page.locator(`dt:text-is("${name}")`) }).locator("dd");
  const overflow = () => page.evaluate<number>("document.documentElement.scrollWidth - window.innerWidth");

  async function violations(): Promise<string[]> {
    await page.evaluate(await readFile(axePath, "utf8"));
    return page.evaluate(async () => {
      const axe = (
        globalThis as unknown as {
          axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
        }
      ).axe;
      const found = (await axe.run()).violations;
      return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
    });
  }

  it("follows a real run: steps as they come, a worker that is killed and replaced, the end", async () => {
    const flags = [...(await smallRun(home)), "--output", home.path("out"), "--gpus", "2", "--dashboard"];
    const runId = await home.launch([...flags, "--max-steps", "100000", "--save-steps", "0"]);
    const file = home.path("home", "runs", runId, "dashboard.json");
    const { url } = await eventually("the page's address", async () =>
      readFile(file, "utf8").then(
        (text) => JSON.parse(text) as { url: string },
        () => undefined,
      ),
    );
    await open(url);
    const step = async () => Number(/step (\d+) of/.exec((await page.locator(".steps").textContent()) ?? "")?.[1] ?? 0);
    const first = await eventually("a step on the page", async () => (await step()) || undefined);
    await eventually("a later step", async () => ((await step()) > first ? true : undefined));
    expect(Number(await figure("Loss").textContent())).toBeGreaterThan(0);

    const { workers } = await home.json<{ workers: { pid: number }[] }>(["status", runId]);
    process.kill(workers[1]!.pid, "SIGKILL");
    await page
      .locator(".event-worker", { hasText: `pid ${workers[1]!.pid}` })
      .first()
      .waitFor();
    await page.locator("#workers", { hasText: "generation 2, 1 restarts" }).waitFor();
    const resumed = await step();
    await eventually("a step after the restart", async () => ((await step()) > resumed ? true : undefined));

    await home.coord(["stop", "--now", runId]);
    await page.locator(".badge", { hasText: "stopped" }).waitFor();
    // The page's server ends with the coordinator; the browser says so.
    await eventually("the notice", async () => ((await page.locator(".notice").isVisible()) ? true : undefined));
    complaints = complaints.filter((text) => !text.includes("net::ERR_"));
  });

  describe("with a simulated run of 64 nodes × 8 GPUs and 10,000 steps", () => {
    let run: SimulatedRun;
    let served: Awaited<ReturnType<SimulatedRun["serve"]>>;
    beforeEach(async () => {
      run = await SimulatedRun.create(home.home, { nodes: 64, gpus: 8 });
      await run.event("membership", "All 512 workers are ready.", { generation: 1 });
      await run.steps(1, 10_000);
      served = await run.serve();
    });
    afterEach(async () => {
      // In front of its server: a stream that is cut is a complaint.
      await page.close();
      await served.server.close();
    });

    it("draws 10,000 points and 512 workers, and goes on live", async () => {
      await open(served.url);
      await page.locator(".plot[aria-label*='smoothed 1.']").first().waitFor();
      expect(await page.locator(".cell").count()).toBe(512);
      // Two presses of a key read the newest values but one hundredth.
      const plot = page.locator(".plot").first();
      await plot.focus();
      await plot.press("End");
      await page.getByText("step 10000: training").waitFor();

      await run.steps(10_001, 10_003);
      await page.locator(".steps", { hasText: "step 10003 of" }).waitFor();
      await plot.press("Home");
      await plot.press("End");
      await page.getByText("step 10003: training").waitFor();
    });

    it("shows a rank that fails and one that is slow, with the reason and its log", async () => {
      await run.log(77, "loading\nRuntimeError: CUDA error: out of memory\n");
      await open(served.url);
      run.worker(77, { state: "starting", restarts: 1, pid: null, times: null });
      run.worker(200, { straggling: "its passes take 900 ms, the median worker's 640 ms" });
      await run.event("worker", "Starting rank 77 (node 9, worker 5) again. It ended with SIGKILL.");
      await page.locator("#workers", { hasText: "511 of 512 at work, generation 1, 1 restarts, 1 slow" }).waitFor();
      const lost = page.getByRole("button", { name: /^rank 77, node 9, GPU 5, starting, restarted 1×/ });
      await lost.click();
      await page.getByRole("heading", { name: "Rank 77" }).waitFor();
      await page.getByRole("button", { name: "Log of rank 77" }).click();
      await page.locator(".log .bad", { hasText: "CUDA error: out of memory" }).waitFor();
      const slow = page.getByRole("button", { name: /rank 200.*straggler: its passes take 900 ms/ });
      expect(await slow.textContent()).toContain("▲");
      await slow.click();
      await page.getByText("Keeps the others waiting: its passes take 900 ms").waitFor();
    });

    it("is used by keyboard alone: one tab stop for all workers, arrows between them", async () => {
      await open(served.url);
      await page.keyboard.press("Tab");
      expect(await page.evaluate("document.activeElement.textContent")).toBe("Skip to content");
      await page.locator(".cell").first().focus();
      await page.keyboard.press("ArrowDown");
      await page.keyboard.press("ArrowRight");
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: "Rank 9" }).waitFor();
      expect(await page.locator('.cell[tabindex="0"]').count()).toBe(1);
    });

    it("shows what a run writes as text, never as markup", async () => {
      const hostile = `<img src=x onerror="document.title='owned'">`;
      await run.log(0, `${hostile}\n`);
      await run.event("warning", hostile);
      await open(served.url);
      await page.locator(".event-warning", { hasText: "<img src=x" }).waitFor();
      await page.getByLabel("Whose log").selectOption("0");
      await page.locator(".log", { hasText: "<img src=x" }).waitFor();
      expect(await page.locator("img").count()).toBe(0);
      expect(await page.title()).not.toBe("owned");
    });

    it("steers with the token, and says what is wrong without it", async () => {
      await open(served.url);
      await page.getByRole("button", { name: "Save a checkpoint" }).click();
      await page.getByText("This needs the run's admin token.").waitFor();
      complaints = complaints.filter((text) => !text.includes("401"));
      await page.getByLabel("Token").fill(served.token);
      await page.getByRole("button", { name: "Save a checkpoint" }).click();
      await page.getByText("A checkpoint follows the step in work.").waitFor();
      expect(run.asked).toEqual(["checkpoint"]);
    });

    it("lays another run over the curves and shows which settings differ", async () => {
      const other = await SimulatedRun.create(home.home, { nodes: 1, gpus: 1, seed: 7 });
      await other.steps(1, 300);
      await open(served.url);
      await page.getByLabel(`Compare with ${other.directory.runId}`).check();
      await page.locator(".chart .legend", { hasText: other.directory.runId }).first().waitFor();
      await page.getByLabel("only what differs").check();
      const rows = await page.locator("#config tbody tr th").allTextContents();
      expect(rows).toEqual(["gpus", "nodes", "seed"]);
    });

    it.each([
      { width: 360, height: 740, dark: false },
      { width: 1440, height: 900, dark: true },
      { width: 3840, height: 2160, dark: false },
    ])("has no accessibility violation and no sideways scrolling at $width px, dark: $dark", async (options) => {
      await open(served.url, options);
      await page.locator(".cell").first().click();
      expect(await violations()).toEqual([]);
      expect(await overflow()).toBeLessThanOrEqual(0);
    });
  });
});
