import { setTimeout as delay } from "node:timers/promises";

/** Time as an argument, so that tests need not wait for it. */
export interface Clock {
  /** Milliseconds since an arbitrary start; never steps back. All timeouts use this one. */
  monotonicMs(): number;
  /** Milliseconds since 1970, for people and log files only. */
  wallMs(): number;
  /** Rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  async sleep(ms, signal) {
    signal?.throwIfAborted();
    try {
      await delay(ms, undefined, signal ? { signal } : {});
    } catch (thrown) {
      // node:timers rejects with an AbortError of its own; callers want the reason.
      signal?.throwIfAborted();
      throw thrown;
    }
  },
};
