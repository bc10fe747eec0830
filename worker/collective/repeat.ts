import { retry } from "../../shared/backoff.ts";
import { systemClock } from "../../shared/clock.ts";

/** Milliseconds after which a call that finds no answer is the end of its generation. */
const budgetMs = 10_000;

/**
 * Makes a call again whose answer was lost, as often as it takes: what it asks for was perhaps done, and is not done twice
 * (`idempotency_level` in proto/). When the coordinator itself is gone the signal ends this, with the generation.
 */
export function repeat<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
  return retry(call, { budgetMs, clock: systemClock, signal });
}
