import { formatCount, formatDuration } from "../observe/format.ts";
import type { PrepareProgress } from "./buildTokenFile.ts";

/** Milliseconds between two lines of a phase. */
const intervalMs = 500;

const titles = { reading: "Reading", tokenizing: "Tokenizing", saving: "Saving" };

/**
 * Makes lines such as "Tokenizing the data set: 12,000 of 20,000 rows, 4,000 rows/s, ETA 2s" of progress: one at the
 * beginning of a phase, one at its end and two a second in between. `nowMs` is a monotonic clock.
 */
export function describePreparing(
  write: (line: string, progress: PrepareProgress) => void,
  nowMs: () => number,
): (progress: PrepareProgress) => void {
  let phase: string | undefined;
  let first = { atMs: 0, done: 0 };
  let last = { atMs: 0, done: -1 };
  return (progress) => {
    const { done, total, unit } = progress;
    const now = nowMs();
    const begins = `${progress.phase} ${unit}` !== phase || done < last.done;
    if (begins) {
      phase = `${progress.phase} ${unit}`;
      first = { atMs: now, done };
    } else if (done === last.done || (done < total && now - last.atMs < intervalMs)) return;
    last = { atMs: now, done };
    const seconds = (now - first.atMs) / 1000;
    const rate = seconds > 0 ? (done - first.done) / seconds : 0;
    const figures =
      rate > 0 ? [`${amount(rate, unit)}/s`, ...(done < total ? [`ETA ${eta(total - done, rate)}`] : [])] : [];
    const counts = `${amount(done, unit, false)} of ${amount(total, unit)}`;
    write(`${titles[progress.phase]} the data set: ${[counts, ...figures].join(", ")}`, progress);
  };
}

function eta(left: number, rate: number): string {
  return formatDuration(left / rate);
}

function amount(value: number, unit: PrepareProgress["unit"], named = true): string {
  if (unit === "bytes") return `${formatCount(value)}B`;
  const number = Math.round(value).toLocaleString("en-US");
  return named ? `${number} ${unit}` : number;
}
