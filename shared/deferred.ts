/** A promise with its handles outside. A rejection that nobody awaits is not an unhandled one. */
export class Deferred<T> {
  readonly promise: Promise<T>;
  resolve!: (value: T) => void;
  reject!: (reason: unknown) => void;
  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.promise.catch(() => {});
  }
}

/**
 * Waits for `promise` but no longer than the signals allow; rejects with the reason of the first that is aborted. For
 * calls by the million: AbortSignal.any would leave something behind on a long-lived signal each time.
 */
export function unlessAborted<T>(promise: Promise<T>, ...signals: readonly AbortSignal[]): Promise<T> {
  const aborted = signals.find((signal) => signal.aborted);
  if (aborted) {
    // It is left alone like one that is given up later, and may still reject.
    promise.catch(() => {});
    return Promise.reject(aborted.reason);
  }
  return new Promise((resolve, reject) => {
    const abort = (event: Event) => reject((event.target as AbortSignal).reason);
    for (const signal of signals) signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => {
      for (const signal of signals) signal.removeEventListener("abort", abort);
    });
  });
}
