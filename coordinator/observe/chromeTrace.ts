import type { ProfiledStep } from "./stepTimings.ts";

interface TraceEvent {
  readonly name: string;
  readonly ph: "X" | "M";
  readonly pid: number;
  readonly tid: number;
  /** Microseconds. */
  readonly ts?: number;
  readonly dur?: number;
  readonly cat?: string;
  readonly args?: Readonly<Record<string, unknown>>;
}

/**
 * Steps as a trace for chrome://tracing and ui.perfetto.dev ("Trace Event Format", complete events): a process per
 * node, a thread per rank. Times begin at 0.
 */
export function chromeTrace(runId: string, steps: readonly ProfiledStep[]): { readonly traceEvents: TraceEvent[] } {
  const spans = steps.flatMap(({ spans, step }) => spans.map((span) => ({ ...span, step })));
  const begin = spans.reduce((least, { startMs }) => Math.min(least, startMs), Number.POSITIVE_INFINITY);
  const ranks = new Map(spans.map(({ nodeRank, rank }) => [rank, nodeRank]));
  const names: TraceEvent[] = [
    ...[...new Set(ranks.values())].map((node) => name("process_name", node, 0, `node ${node} of run ${runId}`)),
    ...[...ranks].map(([rank, node]) => name("thread_name", node, rank, `rank ${rank}`)),
  ];
  return {
    traceEvents: [
      ...names,
      ...spans.map(({ durationMs, name, nodeRank, rank, startMs, step }) => ({
        name,
        cat: name.split(" ")[0]!,
        ph: "X" as const,
        pid: nodeRank,
        tid: rank,
        ts: Math.round((startMs - begin) * 1000),
        dur: Math.round(durationMs * 1000),
        args: { step },
      })),
    ],
  };
}

function name(kind: string, pid: number, tid: number, text: string): TraceEvent {
  return { name: kind, ph: "M", pid, tid, args: { name: text } };
}
