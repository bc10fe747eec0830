import type { DatasetSummary } from "./prepareDataset.ts";

/**
 * What was made of a data set, in one sentence: "1,000 rows: 1,000 huatuo; 898 samples for training, 100 held out; 237
 * cut at 512 tokens (9,120 tokens lost), 2 dropped because nothing to learn was left." Whatever did not happen is left out.
 */
export function describePrepared(summary: DatasetSummary, maxLength: number): string {
  const {
    badRows,
    cut,
    cutTokens,
    evaluationSize,
    files,
    formats,
    rows,
    tooLong,
    trainSize,
    truncated,
    unlabelled,
    variants,
  } = summary;
  const found = Object.entries(formats).map(([format, count]) => `${number(count)} ${format}`);
  const some = (count: number, text: string) => (count === 0 ? [] : [`${number(count)} ${text}`]);
  const lost = [
    ...some(truncated, `cut at ${number(maxLength)} tokens (${number(cutTokens)} tokens lost)`),
    ...some(tooLong, `dropped because they have more than ${number(maxLength)} tokens`),
    ...some(unlabelled, "dropped because they have no answer"),
    ...some(cut, "dropped because nothing to learn was left"),
    ...some(badRows, "skipped because they cannot be read"),
  ];
  const parts = [
    `${number(rows)} rows${files > 1 ? ` in ${number(files)} files` : ""}: ${found.join(", ")}`,
    `${number(trainSize)} samples for training${variants > 0 ? ` (${number(variants)} of them variants by --augment)` : ""}${evaluationSize > 0 ? `, ${number(evaluationSize)} held out` : ""}`,
    ...(lost.length > 0 ? [lost.join(", ")] : []),
  ];
  return `${parts.join("; ")}.`;
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}
