import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";
import { type Clock, systemClock } from "../../shared/clock.ts";
import { type LogLine, parseLogLine } from "./logLine.ts";
import { type LogSource, logSource } from "./logSource.ts";

export interface FollowLogsOptions {
  /** The run's logs directory. */
  readonly directory: string;
  /** Only this rank's lines; undefined for all. */
  readonly rank?: number;
  /** Asked between two looks: goes on while it answers true. */
  readonly isGoingOn: () => Promise<boolean>;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
}

const pollMs = 300;
const chunkBytes = 1 << 16;

/** Yields what the files of a run hold, then what they grow by, until the run has ended; each batch in order of time. */
export async function* followLogs(options: FollowLogsOptions): AsyncGenerator<LogLine[]> {
  const { directory, rank, isGoingOn, signal, clock = systemClock } = options;
  const tails = new Map<string, LogTail>();
  for (let goesOn = true; goesOn && !signal.aborted; ) {
    // Asked before looking, so that the last look comes after the end.
    goesOn = await isGoingOn();
    for (const [path, source] of await logFiles(directory)) {
      const wanted = rank === undefined || source.rank === rank;
      if (wanted && !tails.has(path)) tails.set(path, new LogTail(join(directory, path), source));
    }
    const batch: LogLine[] = [];
    for (const tail of tails.values()) batch.push(...(await tail.read(!goesOn)));
    // Stable: lines of one file that share a time keep their order.
    if (batch.length > 0) yield batch.sort((a, b) => a.timeMs - b.timeMs);
    if (goesOn) await clock.sleep(pollMs, signal).catch(() => undefined);
  }
}

async function logFiles(directory: string): Promise<[string, LogSource][]> {
  const paths = await readdir(directory, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return paths.sort().flatMap((path) => {
    const source = logSource(path);
    return source === undefined ? [] : [[path, source] as [string, LogSource]];
  });
}

/** Reads a growing file line by line. */
class LogTail {
  readonly #path: string;
  readonly #source: LogSource;
  readonly #decoder = new StringDecoder("utf8");
  #position = 0;
  #rest = "";
  #timeMs = 0;

  constructor(path: string, source: LogSource) {
    this.#path = path;
    this.#source = source;
  }

  /** The lines that have come since; `last` also gives a line without its line break. */
  async read(last: boolean): Promise<LogLine[]> {
    const lines = (this.#rest + (await this.#readBytes())).split(/\r?\n/);
    this.#rest = lines.pop() ?? "";
    if (last && this.#rest !== "") lines.push(this.#rest);
    return lines.map((text) => {
      const line = parseLogLine(this.#source.label, text, this.#timeMs);
      this.#timeMs = line.timeMs;
      return line;
    });
  }

  async #readBytes(): Promise<string> {
    const file = await open(this.#path, "r");
    try {
      const buffer = Buffer.alloc(chunkBytes);
      let text = "";
      for (;;) {
        const { bytesRead } = await file.read(buffer, 0, chunkBytes, this.#position);
        if (bytesRead === 0) return text;
        this.#position += bytesRead;
        text += this.#decoder.write(buffer.subarray(0, bytesRead));
      }
    } finally {
      await file.close();
    }
  }
}
