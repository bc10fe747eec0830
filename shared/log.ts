import { type Logger, pino } from "pino";

export type { Logger };

/** A logger that writes one JSON object per line to standard error, level from `COORD_LOG_LEVEL` (default info). */
export function createLogger(name: string, fields: Record<string, string | number> = {}): Logger {
  return pino(
    {
      name,
      level: process.env["COORD_LOG_LEVEL"] ?? "info",
      base: { pid: process.pid, ...fields },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    pino.destination({ fd: 2, sync: true }),
  );
}
