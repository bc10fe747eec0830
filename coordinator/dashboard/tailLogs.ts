import { open } from "node:fs/promises";
import { join } from "node:path";
import { logFiles } from "../observe/followLogs.ts";
import { type LogLine, parseLogLine } from "../observe/logLine.ts";

/** What is read of the end of each file. */
const bytesPerFile = 64 * 1024;

/** Files that are read at most, the newest attempts first: a run of a thousand ranks has thousands. */
const mostFiles = 64;

/** The last lines of a run's logs in order of time: of one rank, of the coordinator and agents ("run"), or of all. */
export async function tailLogs(directory: string, of: number | "run" | "all", most: number): Promise<LogLine[]> {
  const files = (await logFiles(directory)).filter(
    ([, { rank }]) => of === "all" || (of === "run" ? rank === undefined : rank === of),
  );
  const lines: LogLine[] = [];
  for (const [path, { label }] of files.reverse().slice(0, mostFiles)) {
    let timeMs = 0;
    for (const text of await lastLines(join(directory, path))) {
      const line = parseLogLine(label, text, timeMs);
      timeMs = line.timeMs;
      lines.push(line);
    }
  }
  return lines.sort((a, b) => a.timeMs - b.timeMs).slice(-most);
}

async function lastLines(path: string): Promise<string[]> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const start = Math.max(0, size - bytesPerFile);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - start), 0, size - start, start);
    const lines = buffer.toString("utf8", 0, bytesRead).trimEnd().split(/\r?\n/);
    // The first line is cut where the file is longer.
    return (start > 0 ? lines.slice(1) : lines).filter((line) => line !== "");
  } finally {
    await file.close();
  }
}
