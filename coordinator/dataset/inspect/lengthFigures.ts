/** How long samples are, in tokens. */
export interface LengthFigures {
  readonly mean: number;
  readonly median: number;
  readonly p90: number;
  readonly p99: number;
  readonly longest: number;
  /** Samples of `from` to `to` tokens, both included. The maximum length ends a bar. */
  readonly histogram: readonly { readonly from: number; readonly to: number; readonly samples: number }[];
}

/** Bars up to the maximum length; longer samples get bars of twice the width each. */
const barsToLimit = 8;

/** Figures of the samples' lengths before they are cut to `maxLength`. */
export function lengthFigures(lengths: readonly number[], maxLength: number): LengthFigures {
  const sorted = Float64Array.from(lengths).sort();
  const quantile = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  const longest = sorted.at(-1) ?? 0;
  const total = sorted.reduce((sum, length) => sum + length, 0);
  return {
    mean: sorted.length === 0 ? 0 : total / sorted.length,
    median: quantile(0.5),
    p90: quantile(0.9),
    p99: quantile(0.99),
    longest,
    histogram: histogram(sorted, edgesUpTo(longest, maxLength)),
  };
}

/** The last length of each bar. */
function edgesUpTo(longest: number, maxLength: number): number[] {
  const reach = Math.min(longest, maxLength);
  const bars = Math.max(1, Math.min(barsToLimit, reach));
  const edges = Array.from({ length: bars }, (_, index) => Math.ceil((reach * (index + 1)) / bars));
  for (let edge = reach; edge < longest; ) {
    edge *= 2;
    edges.push(edge);
  }
  return edges;
}

function histogram(sorted: Float64Array, edges: readonly number[]): LengthFigures["histogram"] {
  if (sorted.length === 0) return [];
  let at = 0;
  return edges.map((to, index) => {
    const start = at;
    while (at < sorted.length && sorted[at]! <= to) at++;
    return { from: index === 0 ? 1 : edges[index - 1]! + 1, to, samples: at - start };
  });
}
