import { formatCount, formatDuration } from "../observe/format.ts";
import type { DownloadProgress } from "./fetchRepo.ts";

/** Milliseconds between two lines about a download. */
const intervalMs = 1000;

/**
 * Makes lines such as "Downloading owner/name: 1.2GB of 3.0GB, 45.0MB/s, ETA 40s (model.safetensors)" of progress, one a
 * second at most, and one at the end. `nowMs` is a monotonic clock.
 */
export function describeDownload(write: (line: string) => void, nowMs: () => number): (at: DownloadProgress) => void {
  let repo = "";
  let first = { atMs: 0, done: 0 };
  let lastMs = 0;
  return ({ repo: name, file, done, total }) => {
    const now = nowMs();
    if (name !== repo) {
      repo = name;
      first = { atMs: now, done };
      lastMs = now;
      return;
    }
    const ended = done === total;
    if (!ended && now - lastMs < intervalMs) return;
    // Nothing to say about what was there already.
    if (ended && first.done === total) return;
    lastMs = now;
    const seconds = (now - first.atMs) / 1000;
    const rate = seconds > 0 ? (done - first.done) / seconds : 0;
    const eta = rate > 0 ? `, ETA ${formatDuration((total - done) / rate)}` : "";
    write(
      `Downloading ${name}: ${formatCount(done)}B of ${formatCount(total)}B, ${formatCount(rate)}B/s${eta} (${file})`,
    );
    if (ended) repo = "";
  };
}
