import { describe, expect, it } from "vitest";
import { History } from "../../../../coordinator/dashboard/history.ts";
import type { EventKind, RunEvent } from "../../../../coordinator/observe/eventLog.ts";

const event = (kind: EventKind, data: Record<string, unknown>): RunEvent => ({
  ...{ sequence: 1, timeMs: 0, kind, message: kind, data },
});
const step = (number: number, loss: unknown = 1) => event("step", { step: number, loss });

describe("a run's history", () => {
  it("has a row per step, with a gap for what is missing or no number", () => {
    const { rows } = new History().add([step(1, 2), step(2, null)]);
    expect(rows).toEqual([
      [1, 2, null, null, null, null, null, null],
      [2, null, null, null, null, null, null, null],
    ]);
  });

  it("forgets steps and held-out losses that are taken back, and says so", () => {
    const history = new History();
    history.add([step(1), step(2), step(3), event("evaluation", { step: 3, loss: 9 })]);
    const change = history.add([step(2, 5)]);
    expect(change).toMatchObject({ keepTo: 1, rows: [[2, 5, null, null, null, null, null, null]] });
    expect(history.all(10).rows.map(([at]) => at)).toEqual([1, 2]);
    expect(history.all(10).evaluations).toEqual([]);
  });

  it("marks checkpoints, worker groups after the first, where it was continued and where it stopped early", () => {
    const { marks } = new History().add([
      event("membership", { generation: 1 }),
      step(1),
      event("checkpoint", { step: 1 }),
      event("membership", { generation: 2 }),
      event("state", { step: 1 }),
      event("state", { earlyStop: true }),
    ]);
    expect(marks.map(({ kind, step: at }) => [kind, at])).toEqual([
      ["checkpoint", 1],
      ["restart", 1],
      ["start", 1],
      ["early-stop", 1],
    ]);
  });

  it("thins a long history and keeps its last step", () => {
    const history = new History();
    history.add(Array.from({ length: 1001 }, (_, index) => step(index + 1)));
    const { rows } = history.all(100);
    expect(rows.length).toBeLessThanOrEqual(101);
    expect(rows.at(-1)![0]).toBe(1001);
  });
});
