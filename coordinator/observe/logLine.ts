import { formatTime } from "./format.ts";
import type { Style } from "./style.ts";

/** One line of a log file, ready to be put in order with those of other files. */
export interface LogLine {
  /** Whose line it is: "rank 3", "coordinator". */
  readonly source: string;
  /** Wall-clock time; lines without one take that of the line before them, the first ones 0. */
  readonly timeMs: number;
  readonly text: string;
  /** True for an error of our logger's, and for the words that begin one elsewhere; absent for other lines. */
  readonly isError?: true;
}

const levelNames: Readonly<Record<number, string>> = {
  10: "trace",
  20: "debug",
  40: "warning",
  50: "error",
  60: "fatal",
};

const errorLevel = 50;
/** How Node, Python, the C++ runtime and the kernel's loader begin to say that something is broken. */
const errorBeginnings =
  /^(Uncaught |Traceback |FATAL|terminate called|Segmentation fault|\w*(Error|Exception)(: | \[)|error while loading)/;

/** Reads a line: a JSON line of our logger gives its time and message, any other stays as it is. */
export function parseLogLine(source: string, text: string, previousMs: number): LogLine {
  const record = text.startsWith("{") ? parseRecord(text) : undefined;
  if (record === undefined) {
    return { source, timeMs: previousMs, text, ...(errorBeginnings.test(text) && { isError: true }) };
  }
  const { timeMs, level, message } = record;
  const levelName = levelNames[level];
  const shown = `${formatTime(timeMs)} ${levelName === undefined ? "" : `${levelName}: `}${message}`;
  return { source, timeMs, text: shown, ...(level >= errorLevel && { isError: true }) };
}

function parseRecord(text: string): { timeMs: number; level: number; message: string } | undefined {
  try {
    const { time, level, msg, err, ...rest } = JSON.parse(text) as Record<string, unknown>;
    const timeMs = typeof time === "string" ? Date.parse(time) : Number(time);
    if (!Number.isFinite(timeMs) || typeof msg !== "string") return undefined;
    const details = Object.entries(rest).filter(([name]) => !hiddenFields.has(name));
    const shown = details.map(
      ([name, value]) => ` ${name}=${typeof value === "string" ? value : JSON.stringify(value)}`,
    );
    return { timeMs, level: Number(level), message: `${msg}${shown.join("")}${errorMessage(err)}` };
  } catch {
    return undefined;
  }
}

/** Fields that every line of a process repeats. */
const hiddenFields: ReadonlySet<string> = new Set(["name", "pid", "hostname", "run", "runId"]);

function errorMessage(err: unknown): string {
  const message = typeof err === "object" && err !== null ? (err as { message?: unknown }).message : undefined;
  return typeof message === "string" ? ` (${message})` : "";
}

/** "[rank 3] …" */
export function renderLogLine({ source, text }: LogLine): string {
  return `[${source}] ${text}`;
}

/** Renders lines one after the other; the first error among them stands out, and what follows from it does not. */
export function logRenderer(style: Pick<Style, "bold" | "red">): (line: LogLine) => string {
  let seen = false;
  return (line) => {
    if (seen || !line.isError) return renderLogLine(line);
    seen = true;
    return style.bold(style.red(renderLogLine(line)));
  };
}
