import { describe, expect, it } from "vitest";
import { renderSummary } from "../../../../coordinator/observe/renderSummary.ts";
import { emptyModel, type ViewModel } from "../../../../coordinator/observe/viewModel.ts";
import { runId, startMs } from "./literals.ts";

const finished: ViewModel = {
  ...emptyModel,
  runId,
  state: "finished",
  step: 500,
  maxSteps: 500,
  output: "/data/output",
  checkpoint: "/data/output/checkpoint-500",
  checkpointsSeen: 5,
  firstLoss: { step: 1, loss: 2.9 },
  lastLoss: { step: 500, loss: 2.1 },
  firstEvaluation: { step: 0, loss: 3 },
  lastEvaluation: { step: 500, loss: 2.4 },
  inputTokens: 1_500_000,
  tokensPerSecond: 12_000,
  startedAtMs: startMs,
  newestAtMs: startMs + 125_000,
};

describe("renderSummary", () => {
  it("says what came out, where it is and how to look into it", () => {
    expect(
      renderSummary(finished, { color: false, adapter: "/data/output/checkpoint-500", logs: "/runs/x/logs" }),
    ).toEqual([
      "finished  run 20261120-2154-k3f9",
      "  steps        500 of 500",
      "  loss         2.9000 → 2.1000",
      "  held-out     3.0000 → 2.4000 (−20.0 %)",
      "  perplexity   11.02",
      "  tokens       1.5M at 12.0k tokens/s",
      "  time         2m 05s",
      "  checkpoints  5, newest /data/output/checkpoint-500",
      "  adapter      /data/output/checkpoint-500",
      "  inspect      coord logs 20261120-2154-k3f9",
    ]);
  });

  it("says which held-out loss was the best, where the last one is not, and what the time went into", () => {
    const model = { ...finished, bestEvaluation: { step: 400, loss: 2.2 } };
    const goodput = { share: 0.914, restartSeconds: 9, repeatedSeconds: 3 };
    const lines = renderSummary(model, { color: false, goodput, logs: "/l" });
    expect(lines).toContain("  held-out     3.0000 → 2.4000 (−20.0 %); best 2.2000 at step 400");
    expect(lines).toContain(
      "  goodput      91 % of the time in steps; 9s lost to restarts, 3s to steps that were taken again",
    );
  });

  it("says how to continue a stopped run", () => {
    const lines = renderSummary({ ...finished, state: "stopped", step: 120 }, { color: false, logs: "/runs/x/logs" });
    expect(lines[0]).toBe("stopped  run 20261120-2154-k3f9");
    expect(lines.at(-1)).toBe("  continue     coord resume 20261120-2154-k3f9");
  });

  it("ends with the root cause of a failure", () => {
    const failure = {
      message: "Rank 3 ran out of memory; lower --per-device-train-batch-size.",
      timeMs: startMs,
      worker: "rank 3 (node 0, pid 4711)",
      lastLines: '{"level":50,"time":0,"pid":1,"msg":"allocating 2 GB"}\nkilled\n',
      log: "/runs/x/logs/attempt_0/3/stderr.log",
    };
    const lines = renderSummary(
      { ...emptyModel, runId, state: "failed", failure },
      { color: false, logs: "/runs/x/logs" },
    );
    expect(lines).toEqual([
      "failed  run 20261120-2154-k3f9",
      "  steps        0 of ?",
      "  time         0s",
      "  continue     coord resume 20261120-2154-k3f9  (once the cause is gone)",
      "",
      "Root cause (first observed failure): Rank 3 ran out of memory; lower --per-device-train-batch-size.",
      "  time         2026-11-20 21:54:03",
      "  worker       rank 3 (node 0, pid 4711)",
      expect.stringMatching(/^ {2}│ \d\d:\d\d:\d\d error: allocating 2 GB$/),
      "  │ killed",
      "  log          /runs/x/logs/attempt_0/3/stderr.log",
    ]);
  });

  it("falls back to the state's reason and the logs directory when the cause is not known", () => {
    const lines = renderSummary(
      { ...emptyModel, runId, state: "failed", reason: "Disk full." },
      { color: false, logs: "/l" },
    );
    expect(lines.slice(-2)).toEqual(["Root cause (first observed failure): Disk full.", "  log          /l"]);
  });
});
