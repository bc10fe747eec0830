import { copyFile, rename, rm, stat, truncate } from "node:fs/promises";

/** Bytes at which a log file is moved aside, and how many old ones are kept: PATH.1 is the newest of them. */
const limits = { bytes: 64 * 1024 * 1024, kept: 3 } as const;

/** Milliseconds between two looks. */
const intervalMs = 30_000;

/**
 * Moves a log's content aside where it has grown too large; returns whether it has. The content is copied and the file
 * emptied in place, because processes append to it through a descriptor that they were started with: a line that is
 * written between the two is lost.
 */
export async function rotateLog(
  path: string,
  { bytes, kept }: { bytes: number; kept: number } = limits,
): Promise<boolean> {
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  );
  if (size <= bytes) return false;
  await rm(`${path}.${kept}`, { force: true });
  for (let number = kept - 1; number >= 1; number--) {
    await rename(`${path}.${number}`, `${path}.${number + 1}`).catch(() => {});
  }
  await copyFile(path, `${path}.1`);
  await truncate(path, 0);
  return true;
}

/** Looks after logs until the returned function is called. A log that cannot be moved is left as it is. */
export function keepLogsSmall(paths: () => readonly string[]): () => void {
  const timer = setInterval(() => {
    for (const path of paths()) rotateLog(path).catch(() => {});
  }, intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}
