import { describe, expect, it } from "vitest";
import { describePrepared } from "../../../../coordinator/dataset/describePrepared.ts";
import type { DatasetSummary } from "../../../../coordinator/dataset/prepareDataset.ts";

const summary: DatasetSummary = {
  files: 1,
  formats: { huatuo: 1000 },
  badRows: 0,
  variants: 0,
  problems: [],
  rows: 1000,
  trainSize: 898,
  evaluationSize: 100,
  truncated: 237,
  cutTokens: 9120,
  tooLong: 0,
  unlabelled: 0,
  cut: 2,
  dropped: 2,
  longest: 512,
  trainTokens: 1,
  evaluationTokens: 1,
  trainLabels: 1,
  tokens: 2,
};

describe("describePrepared", () => {
  it("says how many rows there were of each format, and what became of them", () => {
    expect(describePrepared(summary, 512)).toBe(
      "1,000 rows: 1,000 huatuo; 898 samples for training, 100 held out; 237 cut at 512 tokens (9,120 tokens lost), 2 dropped because nothing to learn was left.",
    );
  });

  it("names files, several formats, rows without an answer and rows that were skipped", () => {
    const mixed = { files: 3, formats: { huatuo: 600, text: 397 }, badRows: 3, unlabelled: 4, truncated: 0, cut: 0 };
    expect(describePrepared({ ...summary, ...mixed }, 512)).toBe(
      "1,000 rows in 3 files: 600 huatuo, 397 text; 898 samples for training, 100 held out; 4 dropped because they have no answer, 3 skipped because they cannot be read.",
    );
  });

  it("leaves out what did not happen", () => {
    expect(describePrepared({ ...summary, truncated: 0, cut: 0, evaluationSize: 0 }, 512)).toBe(
      "1,000 rows: 1,000 huatuo; 898 samples for training.",
    );
  });
});
