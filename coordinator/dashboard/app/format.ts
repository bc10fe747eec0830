export {
  formatCount,
  formatDateTime,
  formatDuration,
  formatLoss,
  formatRate,
  formatTime,
} from "../../observe/format.ts";

/** Milliseconds as people say them: "812 ms", "3.2 s". */
export function formatMs(ms: number): string {
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}
