import { formatDuration } from "../observe/format.ts";
import { fitWidth } from "../observe/textWidth.ts";
import { isFreed, type SparedProcess, type StaleProcess, type StaleReport } from "./staleReport.ts";

/** The report for people: a table of the processes, and sentences on what was freed, removed and left alone. */
export function formatStaleReport(report: StaleReport, { columns }: { columns: number }): string {
  const lines = [...table(report.processes), ...summary(report)];
  return `${lines.map((line) => fitWidth(line, columns)).join("\n")}\n`;
}

const headings = ["RUN", "ROLE", "RANK", "NODE", "PID", "AGE", "GPU", "PORT", "MEMORY", "OUTCOME"];

const outcomeWords: Readonly<Record<StaleProcess["outcome"], string>> = {
  listed: "to be ended",
  spared: "left alone, its run is live again",
  gone: "ended already",
  terminated: "ended",
  killed: "killed",
  survived: "still there after SIGKILL",
  "not-ours": "left alone, not ours any more",
};

function table(processes: readonly StaleProcess[]): string[] {
  if (processes.length === 0) return [];
  const rows = [headings, ...processes.map(cells), []];
  const widths = headings.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd(),
  );
}

function cells(process: StaleProcess): string[] {
  const { ageMs, gpu, gpuBytes, nodeRank, outcome, pid, ports, rank, residentBytes, role, runId } = process;
  const memory = formatBytes(residentBytes) + (gpuBytes === undefined ? "" : ` + ${formatBytes(gpuBytes)} GPU`);
  return [
    runId,
    role,
    rank === undefined ? "-" : String(rank),
    nodeRank === undefined ? "-" : String(nodeRank),
    String(pid),
    formatDuration(ageMs / 1000),
    gpu || "-",
    ports.join(",") || "-",
    memory,
    outcomeWords[outcome],
  ];
}

function summary(report: StaleReport): string[] {
  const { damaged, dryRun, files, home, processes, spared } = report;
  const freed = processes.filter(isFreed);
  const lines: string[] = [];
  if (processes.length === 0) lines.push(`Nothing stale runs under ${home}.`);
  if (freed.length > 0) {
    const runs = new Set(freed.map(({ runId }) => runId)).size;
    const what = `${plural(freed.length, "process", "processes")} of ${plural(runs, "run", "runs")}`;
    lines.push(`${dryRun ? "Would end" : "Ended"} ${what}${gains(report, freed)}.`);
  }
  const kept = processes.filter((process) => !isFreed(process));
  if (kept.length > 0) lines.push(`${plural(kept.length, "process was", "processes were")} not ended; see the table.`);
  if (files.length > 0) {
    lines.push(`${dryRun ? "Would remove" : "Removed"} ${plural(files.length, "stale file", "stale files")}.`);
  }
  for (const [reason, count] of countReasons(spared)) {
    lines.push(`Left ${plural(count, "process", "processes")} alone: ${reason}.`);
  }
  for (const { path, reason } of damaged) lines.push(`Ignored ${path}: ${reason}`);
  return lines;
}

function gains({ dryRun, freedGpuBytes, freedResidentBytes }: StaleReport, freed: readonly StaleProcess[]): string {
  const ports = freed.flatMap((process) => process.ports);
  const parts = [
    `${formatBytes(freedResidentBytes)} of memory`,
    ...(freedGpuBytes > 0 ? [`${formatBytes(freedGpuBytes)} of GPU memory`] : []),
    ...(ports.length > 0 ? [`port${ports.length === 1 ? "" : "s"} ${ports.join(", ")}`] : []),
  ];
  return ` and ${dryRun ? "free" : "freed"} ${parts.join(", ")}`;
}

function countReasons(spared: readonly SparedProcess[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { reason } of spared) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return counts;
}

function plural(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** A size with a binary unit: 1.5 GiB. */
function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, bytes > 0 ? Math.floor(Math.log2(bytes) / 10) : 0);
  const scaled = bytes / 1024 ** power;
  return `${power === 0 || scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1)} ${units[power]}`;
}
