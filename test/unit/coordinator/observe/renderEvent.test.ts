import { describe, expect, it } from "vitest";
import { renderEvent, renderPlain } from "../../../../coordinator/observe/renderEvent.ts";
import { emptyModel, updateModel } from "../../../../coordinator/observe/viewModel.ts";
import { response } from "./literals.ts";

const wide = { columns: 80, color: false };

function event(init: Parameters<typeof response>[0]) {
  return response(init).event!;
}

describe("renderEvent", () => {
  it("keeps what happened above the progress area, with the time", () => {
    expect(renderEvent(event({ kind: "checkpoint", message: "Saved checkpoint-100." }), wide)).toBe(
      "21:54:03  Saved checkpoint-100.",
    );
  });

  it("leaves steps and counted data progress to the progress area", () => {
    expect(renderEvent(event({ kind: "step", data: { loss: 1 } }), wide)).toBeUndefined();
    expect(renderEvent(event({ kind: "data", data: { done: 1, total: 2 } }), wide)).toBeUndefined();
    expect(renderEvent(event({ kind: "data", message: "Format: huatuo." }), wide)).toBe("21:54:03  Format: huatuo.");
  });

  it("cuts a long message to the terminal, but never an error", () => {
    const message = "x".repeat(100);
    expect(renderEvent(event({ kind: "worker", message }), { columns: 40, color: false })).toHaveLength(39);
    expect(renderEvent(event({ kind: "error", message }), { columns: 40, color: false })).toContain(message);
  });
});

describe("renderPlain", () => {
  const line = (init: Parameters<typeof response>[0], status = {}, loggingSteps = 10, before = emptyModel) => {
    const message = response(init, status);
    return renderPlain(message.event!, { loggingSteps, before, after: updateModel(before, message) });
  };
  const metrics = { step: 10n, loss: 2.5, learningRate: 2e-4, tokensPerSecond: 950, etaSeconds: 61 };

  it("writes the figures of a logging step", () => {
    expect(line({ kind: "step", data: { step: 10, loss: 2.5 } }, { metrics })).toBe(
      "2026-11-20 21:54:03  step 10/500  loss 2.5000  lr 2.00e-4  950 tokens/s  ETA 1m 01s  workers 16/16",
    );
  });

  it.each([
    [1, true],
    [9, false],
    [20, true],
    [500, true],
    [499, false],
  ])("at step %i of 500 with ten steps between lines, writes a line: %s", (step, written) => {
    expect(line({ kind: "step", data: { step, loss: 2.5 } }, { metrics }) !== undefined).toBe(written);
  });

  it("writes a line per tenth of the data set", () => {
    const at = (done: number) => response({ kind: "data", message: "Tokenizing rows", data: { done, total: 1000 } });
    const before = updateModel(emptyModel, at(110));
    const next = (done: number) =>
      renderPlain(at(done).event!, { loggingSteps: 1, before, after: updateModel(before, at(done)) });
    expect(next(190)).toBeUndefined();
    expect(next(200)).toBe("2026-11-20 21:54:03  Tokenizing rows");
  });

  it("writes a line per power of ten while the size of the data set is not known", () => {
    const at = (done: number) => response({ kind: "data", message: `Reading: ${done}`, data: { done } });
    const before = updateModel(emptyModel, at(150));
    const next = (done: number) =>
      renderPlain(at(done).event!, { loggingSteps: 1, before, after: updateModel(before, at(done)) });
    expect(next(900)).toBeUndefined();
    expect(next(1000)).toBe("2026-11-20 21:54:03  Reading: 1000");
  });

  it("writes what was found out about the data set", () => {
    expect(line({ kind: "data", message: "Format: huatuo.", data: { rows: 10 } })).toBe(
      "2026-11-20 21:54:03  Format: huatuo.",
    );
  });

  it("marks warnings and errors and keeps each event on one line", () => {
    expect(line({ kind: "error", message: "Rank 3 failed:\n  out of memory" })).toBe(
      "2026-11-20 21:54:03  error: Rank 3 failed: out of memory",
    );
  });
});
