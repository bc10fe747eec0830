import type { MemoryRow } from "./engineMemory.ts";

/** Predicted and measured peaks as a Markdown table, and what the figures are. */
export function renderMemory(rows: readonly MemoryRow[]): string {
  const lines = rows.map(({ baselineBytes, loadSeconds, model, name, peakBytes, predicted, stepSeconds }) =>
    [
      "",
      model,
      name,
      mebibytes(predicted.total),
      mebibytes(peakBytes),
      (predicted.total / peakBytes).toFixed(2),
      mebibytes(baselineBytes),
      loadSeconds.toFixed(1),
      Math.min(...stepSeconds).toFixed(1),
      "",
    ]
      .join(" | ")
      .trim(),
  );
  return [
    "## Engine memory",
    "",
    "Predicted: `engine.memory().total` before a weight is read. Measured: the largest resident size (VmHWM) of the process",
    "that opened the engine and took two steps (7 B: one), weights mapped from files among it. Baseline: the same process",
    "before anything of the model is read. LoRA r = 8 on two modules of each layer, all tokens labels, 2 threads.",
    "",
    "| model | case, batch × tokens | predicted MiB | measured MiB | ratio | baseline MiB | load s | step s |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ...lines,
    "",
  ].join("\n");
}

const mebibytes = (bytes: number) => (bytes / 2 ** 20).toFixed(0);
