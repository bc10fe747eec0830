import { systemClock } from "../clock.ts";
import { acquireLock, type HeldLock } from "./exclusiveLock.ts";

/** Milliseconds between two looks at a lock that another process holds. */
const lockPollMs = 200;

/** Takes the lock at `path` as soon as nobody else holds it. `purpose` is what is written into it. Throws STORAGE_FAILED. */
export async function waitForLock(path: string, purpose: string, signal: AbortSignal): Promise<HeldLock> {
  for (;;) {
    signal.throwIfAborted();
    const lock = await acquireLock(path, purpose);
    if ("release" in lock) return lock;
    await systemClock.sleep(lockPollMs, signal);
  }
}
