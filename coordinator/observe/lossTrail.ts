/** A bounded record of a value over a whole run: when it is full, every second point goes and points come half as often. */
export interface LossTrail {
  readonly points: readonly number[];
  /** Values between two points. */
  readonly every: number;
  /** Values since the last point. */
  readonly skipped: number;
}

export const emptyTrail: LossTrail = { points: [], every: 1, skipped: 0 };

const capacity = 128;

export function extendTrail({ every, points, skipped }: LossTrail, value: number): LossTrail {
  if (!Number.isFinite(value)) return { every, points, skipped };
  if (skipped + 1 < every) return { every, points, skipped: skipped + 1 };
  if (points.length < capacity) return { points: [...points, value], every, skipped: 0 };
  return { points: points.filter((_, index) => index % 2 === 1), every: every * 2, skipped: every };
}

const levels = "▁▂▃▄▅▆▇█";

/** The trail as a line of blocks of at most `columns`, the newest last; empty before there are two points. */
export function sparkline({ points }: LossTrail, columns: number): string {
  if (points.length < 2 || columns < 1) return "";
  const width = Math.min(columns, points.length);
  const shown = Array.from({ length: width }, (_, at) => points[Math.ceil(((at + 1) * points.length) / width) - 1]!);
  const least = Math.min(...shown);
  const range = Math.max(...shown) - least;
  return shown
    .map((value) => levels[range === 0 ? 0 : Math.min(levels.length - 1, Math.floor((8 * (value - least)) / range))])
    .join("");
}
