import { expect, it } from "vitest";
import type { PrepareProgress } from "../../../../coordinator/dataset/buildTokenFile.ts";
import { describePreparing } from "../../../../coordinator/dataset/describePreparing.ts";

function linesOf(reports: readonly (readonly [atMs: number, progress: PrepareProgress])[]): string[] {
  const lines: string[] = [];
  let now = 0;
  const report = describePreparing(
    (line) => lines.push(line),
    () => now,
  );
  for (const [atMs, progress] of reports) {
    now = atMs;
    report(progress);
  }
  return lines;
}

const rows = (done: number): PrepareProgress => ({ phase: "tokenizing", unit: "rows", done, total: 20_000 });
const bytes = (done: number): PrepareProgress => ({ phase: "reading", unit: "bytes", done, total: 4e9 });

it("says how fast a phase is and when it will end, twice a second at most", () => {
  expect(
    linesOf([
      [0, bytes(0)],
      [100, bytes(1e6)],
      [2000, bytes(1e9)],
      [8000, bytes(4e9)],
      [8001, rows(0)],
      [9001, rows(4000)],
      [9300, rows(5000)],
      [13_001, rows(20_000)],
      [13_002, rows(20_000)],
    ]),
  ).toEqual([
    "Reading the data set: 0B of 4.0GB",
    "Reading the data set: 1.0GB of 4.0GB, 500.0MB/s, ETA 6s",
    "Reading the data set: 4.0GB of 4.0GB, 500.0MB/s",
    "Tokenizing the data set: 0 of 20,000 rows",
    "Tokenizing the data set: 4,000 of 20,000 rows, 4,000 rows/s, ETA 4s",
    "Tokenizing the data set: 20,000 of 20,000 rows, 4,000 rows/s",
  ]);
});

it("counts the held-out files anew", () => {
  expect(
    linesOf([
      [0, rows(20_000)],
      [1, { ...rows(100), total: 100 }],
    ]),
  ).toEqual(["Tokenizing the data set: 20,000 of 20,000 rows", "Tokenizing the data set: 100 of 100 rows"]);
});
