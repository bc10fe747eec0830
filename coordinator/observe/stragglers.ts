/** Where the time of a worker's step went, in milliseconds. */
export interface RankTimes {
  /** Waiting for samples. */
  readonly dataMs: number;
  /** Forward and backward passes. */
  readonly computeMs: number;
  /** Waiting for slower workers. */
  readonly waitMs: number;
  /** Exchanging gradients, without the wait. */
  readonly reduceMs: number;
  /** Clipping and optimizer update. */
  readonly updateMs: number;
}

/** A worker is slow when it takes this many times as long as the middle one, and at least so much longer. */
const slow = { factor: 1.25, byMs: 10 } as const;

/**
 * Splits the exchange of each worker into the wait for the slowest and the exchange itself. All workers begin a step
 * together, with the commit of the one before; who is done with data and passes early waits for the sum.
 */
export function splitWait(steps: readonly Omit<RankTimes, "waitMs">[]): RankTimes[] {
  const latest = Math.max(0, ...steps.map(busyMs));
  return steps.map((step) => {
    const waitMs = Math.min(step.reduceMs, latest - busyMs(step));
    return { ...step, waitMs, reduceMs: step.reduceMs - waitMs };
  });
}

/** Who keeps the others waiting, and why, by worker; none where nobody does. */
export function findStragglers(workers: ReadonlyMap<string, RankTimes>): Map<string, string> {
  const found = new Map<string, string>();
  if (workers.size < 2) return found;
  const all = [...workers.values()];
  const middle = {
    busy: median(all.map(busyMs)),
    data: median(all.map(({ dataMs }) => dataMs)),
    compute: median(all.map(({ computeMs }) => computeMs)),
  };
  for (const [workerId, times] of workers) {
    const busy = busyMs(times);
    if (busy < middle.busy * slow.factor || busy < middle.busy + slow.byMs) continue;
    const [late, lateData] = [times.computeMs - middle.compute, times.dataMs - middle.data];
    const why =
      lateData > late
        ? `it waits ${ms(times.dataMs)} for its samples, the median worker ${ms(middle.data)}`
        : `its passes take ${ms(times.computeMs)}, the median worker's ${ms(middle.compute)}`;
    found.set(workerId, why);
  }
  return found;
}

/** Until its gradient is ready. */
function busyMs({ computeMs, dataMs }: Pick<RankTimes, "computeMs" | "dataMs">): number {
  return dataMs + computeMs;
}

/** The lower of two middle values: with two workers one of them is the yardstick of the other. */
function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? 0;
}

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}
