import { table } from "../renderResults.ts";
import { formatNumber, formatSummary } from "../statistics.ts";
import type { CheckpointResult } from "./checkpointBench.ts";
import type { TorchKind } from "./writeThroughput.ts";

const gigabyte = 1e9;
const names: Record<TorchKind, string> = {
  torch: "torch.save, not synced",
  "torch-sync": "torch.save + fsync",
  dcp: "DCP save",
  "dcp-async": "DCP async_save",
};

/** The page of the checkpoint bench, but for its head. */
export function renderCheckpoints({ resume, stalls, throughput }: CheckpointResult): string[] {
  const { bytes, floor, ownMs, repetitions, torch } = throughput;
  const rate = (ms: number) => formatNumber(bytes / 1e6 / (ms / 1000));
  const floorMs = 1000 * Math.max(bytes / floor.disk, bytes / floor.hash);
  return [
    `A state of ${formatNumber(bytes / 1e6)} MB (adapter and AdamW's moments), ${repetitions} rounds in which ours and each of PyTorch's`,
    "ways took turns, on the disk of the temporary directory. Ours and DCP's are synced when they are done; ours is also hashed",
    "(SHA-256) and moved into place.",
    "",
    `Floor: ${formatNumber(floorMs)} ms, the slower of writing and syncing one file (${formatNumber(floor.disk / gigabyte)} GB/s) and hashing ` +
      `(${formatNumber(floor.hash / gigabyte)} GB/s) in this run; copying the state once (${formatNumber(floor.copy / gigabyte)} GB/s) ` +
      `takes ${formatNumber((1000 * bytes) / floor.copy)} ms.`,
    "",
    ...table([
      ["", "ms", "MB/s", "caller held up, ms", "ours ÷ theirs"],
      ["coord", formatSummary(ownMs), rate(ownMs.median), "see below", "–"],
      ...("kinds" in torch
        ? torch.kinds.map(({ kind, ms, ratio, stallMs }) => [
            ...[names[kind], formatSummary(ms), rate(ms.median), formatSummary(stallMs), formatSummary(ratio)],
          ])
        : []),
    ]),
    "",
    ...("version" in torch ? [`torch ${torch.version}, one process.`] : [`torch was SKIPPED: ${torch.skipped}.`]),
    "",
    "The stall of a save in a real run: how much longer the two steps after a commit with a save took than the median of those",
    "before one; the state travels during the first of them, and is written during it or both.",
    "",
    ...table([
      [
        "one worker",
        "state, MB",
        "saves",
        "undisturbed step, ms",
        "first, ms longer",
        "second, ms longer",
        "both ÷ step",
        "written in, ms",
      ],
      ...stalls.map(({ firstMs, name, saves, secondMs, stateBytes, stepMs, writeMs }) => [
        ...[name, formatNumber(stateBytes / 1e6), String(saves), formatSummary(stepMs)],
        ...[formatSummary(firstMs), formatSummary(secondMs)],
        ...[`${((100 * (firstMs.median + secondMs.median)) / stepMs.median).toFixed(2)} %`, formatSummary(writeMs)],
      ]),
    ]),
    "",
    "The simulated device is a wait in each step, which leaves the processors to the save as a GPU would. In the other row the",
    "engine wants every processor, so what the save computes (digests, copies to the socket, SHA-256) is taken from the step.",
    "",
    `\`coord resume\` of the demo: ${formatSummary(resume.firstStepMs, 1 / 1000)} s from the start of the command to the first committed step, ` +
      `loading the model included, ${resume.repetitions} times.`,
    "",
  ];
}
