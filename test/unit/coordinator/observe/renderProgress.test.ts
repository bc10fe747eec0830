import { describe, expect, it } from "vitest";
import { renderProgress } from "../../../../coordinator/observe/renderProgress.ts";
import { textWidth } from "../../../../coordinator/observe/textWidth.ts";
import { emptyModel, type ViewModel } from "../../../../coordinator/observe/viewModel.ts";
import { runId, startMs } from "./literals.ts";

const training: ViewModel = {
  ...emptyModel,
  runId,
  state: "training",
  step: 128,
  maxSteps: 500,
  generation: 2,
  workersAlive: 16,
  worldSize: 16,
  smoothedLoss: 2.43125,
  learningRate: 1.9e-4,
  tokensPerSecond: 12_345,
  etaSeconds: 192,
  metricsAtMs: startMs,
  firstEvaluation: { step: 0, loss: 2.5 },
  lastEvaluation: { step: 100, loss: 2.31 },
};

const preparing: ViewModel = {
  ...emptyModel,
  runId,
  state: "preparing",
  worldSize: 16,
  data: { message: "Tokenizing 医学问答.jsonl", done: 250, total: 1000 },
};

const forming: ViewModel = {
  ...training,
  state: "forming",
  workersAlive: 15,
  reason: "Waiting for workers: 15 of 16 are here.",
};

const plain = (model: ViewModel, columns: number, nowMs = startMs) =>
  renderProgress(model, { columns, color: false, nowMs });

describe("renderProgress", () => {
  it("shows everything on three lines where there is room", () => {
    expect(plain(training, 120)).toEqual([
      "training  run 20261120-2154-k3f9  workers 16/16",
      "━━━━━━━━━━──────────────────────────────  128/500  25%",
      "loss 2.4312  lr 1.90e-4  12.3k tokens/s  ETA 3m 12s  held-out 2.5000 → 2.3100",
    ]);
  });

  it("adds the gradient norm, the way of the loss, and a line for each node where the terminal is high enough", () => {
    const node = { host: "gpu-a", residentBytes: 6.4e9, straggling: false };
    const nodes = [
      { ...node, node: 0, states: { computing: 6, waiting: 2 } },
      { ...node, node: 1, host: "gpu-b", states: { computing: 7, starting: 1 } },
    ];
    const losses = { points: [5, 4, 3.2, 2.9, 2.7, 2.6, 2.5, 2.45, 2.43], every: 1, skipped: 0 };
    const model = { ...training, gradientNorm: 0.8123, losses, nodes };
    const render = (rows: number, columns = 120) =>
      renderProgress(model, { columns, rows, color: false, nowMs: startMs });
    expect(render(24)).toEqual([
      "training  run 20261120-2154-k3f9  workers 16/16",
      "━━━━━━━━━━──────────────────────────────  128/500  25%  █▅▃▂▁▁▁▁▁",
      "loss 2.4312  lr 1.90e-4  grad 0.812  12.3k tokens/s  ETA 3m 12s  held-out 2.5000 → 2.3100",
      "node 0  gpu-a  6 computing, 2 waiting  6.4GB",
      "node 1  gpu-b  7 computing, 1 starting  6.4GB",
    ]);
    expect(render(13).slice(3)).toEqual(["2 more nodes  13 computing, 2 waiting, 1 starting  12.8GB"]);
    expect(render(12).slice(3)).toEqual([]);
    expect(Math.max(...render(24, 40).map(textWidth))).toBeLessThan(40);
  });

  it("moves figures to the next line on 80 and 60 columns", () => {
    expect(plain(training, 80)).toEqual(plain(training, 120));
    expect(plain(training, 60)).toEqual([
      "training  run 20261120-2154-k3f9  workers 16/16",
      "━━━━━━━━━━──────────────────────────────  128/500  25%",
      "loss 2.4312  lr 1.90e-4  12.3k tokens/s  ETA 3m 12s",
      "held-out 2.5000 → 2.3100",
    ]);
  });

  it("keeps bar and figures on 40 columns", () => {
    expect(plain(training, 40)).toEqual([
      "training  run 20261120-2154-k3f9",
      "workers 16/16",
      "━━━━━━───────────────────  128/500  25%",
      "loss 2.4312  lr 1.90e-4  12.3k tokens/s",
      "ETA 3m 12s  held-out 2.5000 → 2.3100",
    ]);
  });

  it.each([40, 60, 80, 120])("never fills the last of %i columns, in any state, with colour or without", (columns) => {
    for (const model of [training, preparing, forming]) {
      for (const color of [true, false]) {
        const lines = renderProgress(model, { columns, color, nowMs: startMs });
        expect(Math.max(...lines.map(textWidth))).toBeLessThan(columns);
        expect(lines.join("")).not.toContain("\n");
      }
    }
  });

  it("differs between colour and none in escape codes only", () => {
    for (const model of [training, preparing, forming]) {
      const colored = renderProgress(model, { columns: 60, color: true, nowMs: startMs });
      expect(colored.join("\n")).toContain("\u001b[");
      // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape codes are what is looked for.
      expect(colored.map((line) => line.replaceAll(/\u001b\[\d+m/g, ""))).toEqual(plain(model, 60));
    }
  });

  it("shows the progress of preparing the data set", () => {
    expect(plain(preparing, 40)).toEqual([
      "preparing  run 20261120-2154-k3f9",
      "workers 0/16",
      "Tokenizing 医学问答.jsonl",
      "━━━━━━─────────────────   250/1000  25%",
    ]);
  });

  it("says what it waits for while workers are missing", () => {
    expect(plain(forming, 60)).toContain("Waiting for workers: 15 of 16 are here.");
    const [head] = renderProgress(forming, { columns: 80, color: true, nowMs: startMs });
    expect(head).toContain("\u001b[33mworkers 15/16\u001b[39m");
  });

  it("counts the ETA down between steps, but not below zero", () => {
    expect(plain(training, 80, startMs + 12_000)[2]).toContain("ETA 3m 00s");
    expect(plain(training, 80, startMs + 3_600_000)[2]).toContain("ETA 0s");
  });

  it("cuts what fits nowhere", () => {
    const lines = plain({ ...forming, reason: "等待".repeat(40) }, 20);
    expect(Math.max(...lines.map(textWidth))).toBeLessThan(20);
    expect(lines.some((line) => line.endsWith("…"))).toBe(true);
  });
});
