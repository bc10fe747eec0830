import type { Clock } from "./clock.ts";
import { CoordError } from "./errors.ts";

/** Exponential back-off with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"). */
export interface BackoffPolicy {
  readonly firstMs: number;
  readonly maxMs: number;
}

const defaultPolicy: BackoffPolicy = { firstMs: 50, maxMs: 2000 };

/** Milliseconds to wait before retry number `attempt` (from 0); `random` is in [0, 1). */
export function backoffDelayMs(attempt: number, random: number, policy = defaultPolicy): number {
  return random * Math.min(policy.maxMs, policy.firstMs * 2 ** attempt);
}

/** Calls `operation` until it succeeds, fails for good, or `budgetMs` have passed; only retryable errors are repeated. */
export async function retry<T>(
  operation: () => Promise<T>,
  options: { readonly budgetMs: number; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<T> {
  const deadline = options.clock.monotonicMs() + options.budgetMs;
  for (let attempt = 0; ; attempt++) {
    options.signal.throwIfAborted();
    try {
      return await operation();
    } catch (thrown) {
      const repeatable = thrown instanceof CoordError && thrown.code === "COORDINATOR_UNREACHABLE";
      if (!repeatable || options.clock.monotonicMs() >= deadline) throw thrown;
    }
    await options.clock.sleep(backoffDelayMs(attempt, Math.random()), options.signal);
  }
}
