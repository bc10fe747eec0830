import { formatNumber, formatSummary } from "../statistics.ts";
import type { DatasetCase, DatasetResults, DatasetSide } from "./datasetResults.ts";

/** The page of the data set bench. */
export function renderDataset(results: DatasetResults): string {
  const { cases, date, machine, maxLength, processes, repetitions, theirs, tokenizer } = results;
  return [
    "# Data preparation against HuggingFace datasets.map",
    "",
    `${date.slice(0, 10)} · ${machine.processor}, ${machine.processors} processors · ${machine.system} · Node ${machine.node} · load before: ${machine.loadBefore.toFixed(1)}`,
    "",
    `From rows to saved samples (load, render, tokenize, mask, cut at ${number(maxLength)} tokens, save) with ${tokenizer}.`,
    `Compared with: ${theirs}, \`num_proc\` ${processes}; coord takes as many threads for a file of more than 4 MiB, none for a`,
    `smaller one. Both make the same tokens and labels of the same rows. In turn, ${repetitions} times each; medians with the`,
    "extremes in parentheses. Seconds count from before the tokenizer is loaded; the whole process adds starting Node or Python",
    "and loading libraries. Ratio: their time over ours, pair by pair; above 1 coord is the faster. Varied rows: every sixth",
    "Chinese character of each copy is another one, so that no word cache makes the work small.",
    "",
    ...cases.flatMap(renderCase),
    "    COORD_PYTHON=python3 COORD_SHARED_DATA=DIR npm run bench -- dataset --write",
    "",
  ].join("\n");
}

function renderCase({ bytes, coord, labels, name, ratio, samples, theirs, tokens }: DatasetCase): string[] {
  const row = (title: string, { cpuSeconds, peakBytes, seconds, wholeSeconds }: DatasetSide) =>
    `| ${title} | ${formatSummary(seconds)} | ${number(Math.round(tokens / seconds.median))} | ${formatSummary(wholeSeconds)} | ${formatSummary(cpuSeconds)} | ${(peakBytes.median / 2 ** 20).toFixed(0)} |`;
  return [
    `## ${name}: ${formatNumber(bytes / 1e6)} MB, ${number(samples)} samples, ${number(tokens)} tokens, ${number(labels)} of them labels`,
    "",
    "| | seconds | tokens/s | whole process, s | processors, s | peak MiB |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
    row("coord", coord),
    ...(theirs ? [row("datasets.map (largest process)", theirs)] : []),
    ...(ratio
      ? [
          `| **ratio** | **${formatSummary(ratio.seconds)}** | | **${formatSummary(ratio.wholeSeconds)}** | **${formatSummary(ratio.cpuSeconds)}** | |`,
        ]
      : []),
    "",
  ];
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}
