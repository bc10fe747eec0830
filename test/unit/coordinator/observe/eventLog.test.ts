import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EventLog } from "../../../../coordinator/observe/eventLog.ts";
import { readStepFigures } from "../../../../coordinator/observe/readMetrics.ts";

describe("EventLog", () => {
  let directory: string;
  const paths = () => ({ events: join(directory, "events.jsonl"), metrics: join(directory, "metrics.jsonl") });
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "coord-events-"));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it("numbers events without gaps over all coordinators of a run", () => {
    const first = new EventLog(paths());
    first.add("state", "one");
    first.add("state", "two");
    first.close();
    const second = new EventLog(paths());
    second.add("state", "three");
    second.close();
    const lines = readFileSync(paths().events, "utf8").trim().split("\n");
    expect(lines.map((line) => JSON.parse(line).sequence)).toEqual([1, 2, 3]);
  });

  it("hands kept events and then new ones to a follower until it leaves", () => {
    const log = new EventLog(paths());
    for (const message of ["one", "two", "three"]) log.add("state", message);
    const heard: string[] = [];
    const leave = log.follow(2, ({ message }) => heard.push(message));
    log.add("state", "four");
    leave();
    log.add("state", "five");
    log.close();
    expect(heard).toEqual(["two", "three", "four"]);
  });

  it("keeps figures so that the last word on a step counts, and a line cut by a crash does not", async () => {
    const log = new EventLog(paths());
    const figures = (step: number, loss: number) => ({ step, loss, learningRate: 1, gradientNorm: 1, inputTokens: 1 });
    log.add("step", "", figures(2, 5));
    log.add("step", "", figures(1, 6));
    log.add("evaluation", "", { step: 1, loss: 9 });
    log.add("step", "", figures(2, 4));
    log.close();
    appendFileSync(paths().metrics, '{"step":3,"loss":');
    const read = await readStepFigures(paths().metrics);
    expect(read.map(({ loss, step }) => [step, loss])).toEqual([
      [1, 6],
      [2, 4],
    ]);
  });
});
