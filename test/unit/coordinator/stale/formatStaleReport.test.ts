import { describe, expect, it } from "vitest";
import { formatStaleReport } from "../../../../coordinator/stale/formatStaleReport.ts";
import type { StaleProcess, StaleReport } from "../../../../coordinator/stale/staleReport.ts";

const worker: StaleProcess = {
  runId: "20261120-2154-k3f9",
  role: "worker",
  rank: 3,
  nodeRank: 1,
  localRank: 1,
  pid: 4711,
  ageMs: 7_500_000,
  gpu: "1",
  ports: [29500],
  residentBytes: 1.5 * 1024 ** 3,
  gpuBytes: 10 * 1024 ** 3,
  reason: "the coordinator of run 20261120-2154-k3f9 is gone",
  outcome: "terminated",
};
const report: StaleReport = {
  home: "/home/ann/.coord",
  dryRun: false,
  processes: [],
  spared: [],
  files: [],
  damaged: [],
  freedResidentBytes: 0,
  freedGpuBytes: 0,
};

describe("formatStaleReport", () => {
  it("says that there is nothing to do", () => {
    expect(formatStaleReport(report, { columns: 120 })).toBe("Nothing stale runs under /home/ann/.coord.\n");
  });

  it("shows each process in a row, and what was freed", () => {
    const agent: StaleProcess = {
      ...worker,
      role: "agent",
      rank: undefined,
      pid: 12,
      gpu: undefined,
      gpuBytes: undefined,
      ports: [],
      residentBytes: 512,
      outcome: "survived",
    };
    const text = formatStaleReport(
      {
        ...report,
        processes: [agent, worker],
        spared: [
          { runId: "b", role: "worker", pid: 5, reason: "run b is live" },
          { runId: "b", role: "agent", pid: 6, reason: "run b is live" },
        ],
        files: [{ path: "/x", reason: "its holder is gone" }],
        damaged: [{ path: "/y", reason: "It is not JSON." }],
        freedResidentBytes: worker.residentBytes,
        freedGpuBytes: worker.gpuBytes!,
      },
      { columns: 160 },
    );
    expect(text.split("\n")).toEqual([
      "RUN                 ROLE    RANK  NODE  PID   AGE     GPU  PORT   MEMORY                  OUTCOME",
      "20261120-2154-k3f9  agent   -     1     12    2h 05m  -    -      512 B                   still there after SIGKILL",
      "20261120-2154-k3f9  worker  3     1     4711  2h 05m  1    29500  1.5 GiB + 10.0 GiB GPU  ended",
      "",
      "Ended 1 process of 1 run and freed 1.5 GiB of memory, 10.0 GiB of GPU memory, port 29500.",
      "1 process was not ended; see the table.",
      "Removed 1 stale file.",
      "Left 2 processes alone: run b is live.",
      "Ignored /y: It is not JSON.",
      "",
    ]);
  });

  it("speaks of what would be done in a dry run, within the width of the terminal", () => {
    const text = formatStaleReport(
      { ...report, dryRun: true, processes: [{ ...worker, outcome: "listed" }] },
      { columns: 40 },
    );
    expect(text).toContain("Would end 1 process of 1 run and free");
    expect(text.split("\n").every((line) => line.length <= 40)).toBe(true);
  });
});
