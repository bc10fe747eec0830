import { expect, it } from "vitest";
import { chromeTrace } from "../../../../coordinator/observe/chromeTrace.ts";

it("puts each rank's stretches on a thread of its node, in microseconds from the first", () => {
  const span = (rank: number, startMs: number, name: string) => ({
    rank,
    nodeRank: rank,
    name,
    startMs,
    durationMs: 2,
  });
  const { traceEvents } = chromeTrace("r", [
    { step: 7, spans: [span(0, 1000, "compute slot 0"), span(1, 1000.5, "reduce")] },
  ]);
  expect(traceEvents.filter(({ ph }) => ph === "X")).toEqual([
    { name: "compute slot 0", cat: "compute", ph: "X", pid: 0, tid: 0, ts: 0, dur: 2000, args: { step: 7 } },
    { name: "reduce", cat: "reduce", ph: "X", pid: 1, tid: 1, ts: 500, dur: 2000, args: { step: 7 } },
  ]);
  expect(traceEvents).toContainEqual({ name: "thread_name", ph: "M", pid: 1, tid: 1, args: { name: "rank 1" } });
});
