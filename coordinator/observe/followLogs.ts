import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, systemClock } from "../../shared/clock.ts";
import { LineTail } from "./lineTail.ts";
import { type LogLine, parseLogLine } from "./logLine.ts";
import { type LogSource, logSource } from "./logSource.ts";

export interface FollowLogsOptions {
  /** The run's logs directory. */
  readonly directory: string;
  /** Only this rank's lines; undefined for all. */
  readonly rank?: number;
  /** Only lines from this wall-clock time on, in milliseconds. */
  readonly sinceMs?: number;
  /** Asked between two looks: goes on while it answers true. */
  readonly isGoingOn: () => Promise<boolean>;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
}

const pollMs = 300;

/** Yields what the files of a run hold, then what they grow by, until the run has ended; each batch in order of time. */
export async function* followLogs(options: FollowLogsOptions): AsyncGenerator<LogLine[]> {
  const { directory, rank, isGoingOn, signal, sinceMs = Number.NEGATIVE_INFINITY, clock = systemClock } = options;
  const tails = new Map<string, LogTail>();
  for (let goesOn = true; goesOn && !signal.aborted; ) {
    // Asked before looking, so that the last look comes after the end.
    goesOn = await isGoingOn();
    for (const [path, source] of await logFiles(directory)) {
      const wanted = rank === undefined || source.rank === rank;
      if (wanted && !tails.has(path)) tails.set(path, new LogTail(join(directory, path), source));
    }
    const batch: LogLine[] = [];
    for (const tail of tails.values()) {
      for (const line of await tail.read(!goesOn)) if (line.timeMs >= sinceMs) batch.push(line);
    }
    // Stable: lines of one file that share a time keep their order.
    if (batch.length > 0) yield batch.sort((a, b) => a.timeMs - b.timeMs);
    if (goesOn) await clock.sleep(pollMs, signal).catch(() => undefined);
  }
}

/** The log files below a directory, each with whose it is. */
export async function logFiles(directory: string): Promise<[string, LogSource][]> {
  const paths = await readdir(directory, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return paths.sort().flatMap((path) => {
    const source = logSource(path);
    return source === undefined ? [] : [[path, source] as [string, LogSource]];
  });
}

/** The lines of one log file with their times; a line without one has that of the line before. */
class LogTail {
  readonly #lines: LineTail;
  readonly #source: LogSource;
  #timeMs = 0;

  constructor(path: string, source: LogSource) {
    this.#lines = new LineTail(path);
    this.#source = source;
  }

  async read(last: boolean): Promise<LogLine[]> {
    return (await this.#lines.read(last)).map((text) => {
      const line = parseLogLine(this.#source.label, text, this.#timeMs);
      this.#timeMs = line.timeMs;
      return line;
    });
  }
}
