import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createLiveView, createPlainView } from "../../../../coordinator/observe/runView.ts";
import { emptyModel, updateModel, type ViewModel } from "../../../../coordinator/observe/viewModel.ts";
import { response, startMs } from "./literals.ts";

/** What a terminal shows after the codes that the views use: text, line feed, cursor up, return, erase below. */
class Screen {
  columns = 80;
  writes = 0;
  lines: string[] = [""];
  cursorShown = true;
  #row = 0;

  write(text: string): boolean {
    this.writes += 1;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal's codes are what this reads.
    for (const [token] of text.matchAll(/\u001b\[[?\d]*[A-Za-z]|\n|\r|[^\u001b\n\r]+/g)) this.#apply(token);
    return true;
  }

  #apply(token: string): void {
    if (token === "\n") {
      this.#row += 1;
      this.lines[this.#row] ??= "";
    } else if (token === "\u001b[J") this.lines.splice(this.#row, Number.POSITIVE_INFINITY, "");
    else if (token.endsWith("A")) this.#row -= Number(token.slice(2, -1));
    else if (token === "\u001b[?25l") this.cursorShown = false;
    else if (token === "\u001b[?25h") this.cursorShown = true;
    else if (token !== "\r") this.lines[this.#row] += token;
  }
}

const checkpoint = response({ kind: "checkpoint", message: "Saved checkpoint-10." });

function step(number: number): ViewModel {
  const metrics = { step: BigInt(number), loss: 2, learningRate: 1e-4, tokensPerSecond: 100, etaSeconds: 60 };
  const message = response({ kind: "step", data: { step: number, loss: 2 } }, { step: BigInt(number), metrics });
  return updateModel(emptyModel, message);
}

describe("createLiveView", () => {
  beforeEach(() => void vi.useFakeTimers({ now: startMs }));
  afterEach(() => void vi.useRealTimers());

  it("draws the area in place and keeps events above it", () => {
    const screen = new Screen();
    const view = createLiveView(screen, false);
    view.update(step(10), response({ kind: "step" }).event);
    vi.advanceTimersByTime(100);
    view.update(step(11), checkpoint.event);
    expect(screen.lines).toEqual([
      "21:54:03  Saved checkpoint-10.",
      "training  run 20261120-2154-k3f9  workers 16/16",
      "━───────────────────────────────────────   11/500   2%",
      "loss 2.0000  lr 1.00e-4  grad 0  100 tokens/s  ETA 1m 00s",
      "",
    ]);
    view.close();
  });

  it("draws at most ten times a second, the newest figures last", () => {
    const screen = new Screen();
    const view = createLiveView(screen, false);
    for (let number = 1; number <= 200; number++) {
      view.update(step(number), response({ kind: "step" }).event);
      vi.advanceTimersByTime(5);
    }
    expect(screen.writes).toBeLessThanOrEqual(12);
    vi.advanceTimersByTime(100);
    expect(screen.lines.join("\n")).toContain("200/500");
    view.close();
  });

  it("counts the ETA down without news", () => {
    const screen = new Screen();
    const view = createLiveView(screen, false);
    view.update(step(10));
    vi.advanceTimersByTime(5100);
    expect(screen.lines.join("\n")).toContain("ETA 55s");
    view.close();
  });

  it("erases lines that a terminal made narrower has wrapped", () => {
    const screen = new Screen();
    const view = createLiveView(screen, false);
    const written = vi.spyOn(screen, "write");
    view.update(step(10));
    vi.advanceTimersByTime(100);
    screen.columns = 40;
    view.notice("Stopping.");
    // Three lines of 47, 54 and 49 columns take two rows each.
    expect(written.mock.lastCall?.[0]).toContain("\u001b[6A\r\u001b[J");
    view.close();
  });

  it("takes a terminal without a size for one of 80 columns", () => {
    const screen = new Screen();
    screen.columns = 0;
    const view = createLiveView(screen, false);
    view.update(step(10));
    vi.advanceTimersByTime(2200);
    expect(screen.lines[0]).toBe("training  run 20261120-2154-k3f9  workers 16/16");
    view.close();
    expect(screen.lines).toEqual([""]);
  });

  it("hides the cursor, brings it back and leaves only the events behind", () => {
    const screen = new Screen();
    const listeners = process.listenerCount("exit");
    const view = createLiveView(screen, false);
    expect(screen.cursorShown).toBe(false);
    view.update(step(10), checkpoint.event);
    view.close();
    expect(screen.cursorShown).toBe(true);
    expect(screen.lines).toEqual(["21:54:03  Saved checkpoint-10.", ""]);
    expect(process.listenerCount("exit")).toBe(listeners);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("createPlainView", () => {
  it("writes whole lines and no codes", () => {
    const screen = new Screen();
    const write = vi.spyOn(screen, "write");
    const view = createPlainView(screen, 1);
    view.update(step(10), response({ kind: "step" }).event);
    view.update(step(10), checkpoint.event);
    view.update(step(10));
    view.notice("Stopping at once.");
    view.close();
    expect(write.mock.calls.map(([text]) => text)).toEqual([
      "2026-11-20 21:54:03  step 10/500  loss 2.0000  lr 1.00e-4  100 tokens/s  ETA 1m 00s  workers 16/16\n",
      "2026-11-20 21:54:03  Saved checkpoint-10.\n",
      "Stopping at once.\n",
    ]);
  });
});
