import { CoordError } from "../../shared/errors.ts";

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * The wall-clock time in milliseconds that `--since` means: so long ago ("90s", "10m", "2h", "1d", "1h30m"), a time of today
 * or, where that is still to come, of yesterday ("21:54", "21:54:03"), or a date ("2026-11-20", "2026-11-20 21:54"). Local
 * time, where no zone is given. Throws CONFIG_INVALID.
 */
export function parseSince(text: string, nowMs: number): number {
  if (/^(\d+(\.\d+)?[smhd])+$/.test(text)) {
    const parts = [...text.matchAll(/([\d.]+)([smhd])/g)];
    return nowMs - parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitMs[unit!]!, 0);
  }
  const clock = /^([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?$/.exec(text);
  if (clock !== null) {
    const time = new Date(nowMs);
    time.setHours(Number(clock[1]), Number(clock[2]), Number(clock[3] ?? 0), 0);
    if (time.getTime() > nowMs) time.setDate(time.getDate() - 1);
    return time.getTime();
  }
  const isDate = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/.test(text);
  // A date alone would be read as one of Greenwich.
  const date = isDate ? Date.parse(text.length === 10 ? `${text}T00:00` : text.replace(" ", "T")) : Number.NaN;
  if (Number.isFinite(date)) return date;
  throw new CoordError(
    "CONFIG_INVALID",
    `--since takes how long ago (90s, 10m, 2h, 1d), a time (21:54) or a date (2026-11-20 21:54), got ${JSON.stringify(text)}.`,
  );
}
