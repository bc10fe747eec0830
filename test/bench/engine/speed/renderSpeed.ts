import { formatNumber, formatSummary, summarize } from "../../statistics.ts";
import type { SpeedResult, StepAnswer } from "./speedCase.ts";

/** Times and peaks of both sides as a Markdown table, the floor first, and what the figures are. */
export function renderSpeed(results: readonly SpeedResult[] | undefined): string {
  const head = ["## Engine against PyTorch", ""];
  if (!results) {
    return [...head, "SKIPPED: needs a Python with torch, transformers and peft, named by `COORD_PYTHON`.", ""].join(
      "\n",
    );
  }
  const rows = results.map((result) => {
    const { model, operations, ours, peakRate, theirs } = result;
    const floor = operations / peakRate;
    const seconds = summarize(ours.map((step) => step.seconds));
    return [
      model,
      `${formatNumber(operations / 1e9)} G`,
      formatNumber(floor),
      formatSummary(seconds),
      formatNumber(seconds.median / floor),
      formatSummary(summarize(theirs.map((step) => step.seconds))),
      formatSummary(summarize(ours.map((step, pair) => step.seconds / theirs[pair]!.seconds))),
      mebibytes(ours),
      mebibytes(theirs),
      formatNumber(peak(ours) / peak(theirs)),
    ];
  });
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const [{ sides, threads, tokens }] = results as readonly [SpeedResult];
  return [
    ...head,
    `One step: forward, backward and AdamW of LoRA r = 8 on q_proj and v_proj, float32, 1 × ${tokens} tokens that are all labels, ` +
      `${threads} threads on either side. Llama of hidden 896, 14 heads (2 key-value), intermediate 4864, vocabulary 32000, random weights.`,
    "",
    line([
      "model",
      "operations",
      "floor s",
      "ours s",
      "÷ floor",
      "PyTorch s",
      "ours ÷ PyTorch",
      "ours MiB",
      "PyTorch MiB",
      "ratio",
    ]),
    line(["---", ...Array.from({ length: 9 }, () => "---:")]),
    ...rows.map(line),
    "",
    "Floor: the operations of the step's matrix products over the most that a matrix product reached on either side in this run " +
      `(${results.map(({ peakRate }) => `${formatNumber(peakRate / 1e9)} G/s`).join(", ")}).`,
    `Ours: ${sides[0]}. PyTorch: ${sides[1]}, default attention. Steps by turns, ${results.map(({ ours }) => ours.length).join(" and ")} pairs; ratio of times: median of ` +
      "the pairs' ratios. Memory: the largest resident size (VmHWM) of each process, its libraries and mapped weights among it.",
    "",
    "On a GPU (WebGPU, CUDA; a 7 B model, 4 × 512 tokens, beside PyTorch and PEFT in bf16): not measured.",
    "",
  ].join("\n");
}

const peak = (steps: readonly StepAnswer[]) => Math.max(...steps.map(({ peakBytes }) => peakBytes));
const mebibytes = (steps: readonly StepAnswer[]) => (peak(steps) / 2 ** 20).toFixed(0);
