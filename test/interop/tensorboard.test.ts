import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { EventKind } from "../../coordinator/observe/eventLog.ts";
import { TensorBoardWriter } from "../../coordinator/observe/tensorboard/tensorBoardWriter.ts";

/** Python with `tensorboard`: pip install tensorboard. */
const python = process.env["COORD_PYTHON"] ?? "python3";
const isThere = (() => {
  try {
    execFileSync(python, ["-c", "import tensorboard"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

const script = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
events.Reload()
print(json.dumps({tag: [[e.step, round(e.value, 5), e.wall_time] for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}))`;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-tensorboard-"));
});
afterEach(() => rm(directory, { recursive: true }));

function train(steps: readonly number[], evaluated: readonly number[], startMs: number): void {
  const writer = new TensorBoardWriter({ directory, loggingSteps: 1, evaluated });
  const add = (kind: EventKind, step: number, data: object) =>
    writer.add({ sequence: 1, timeMs: startMs + 1000 * step, kind, message: "", data: { step, ...data } });
  for (const step of steps) {
    if (step > 0) add("step", step, { loss: 4 - step / 10, learningRate: 0.001, gradientNorm: 1.5, epoch: step / 10 });
    if (step % 5 === 0) add("evaluation", step, { loss: 5 - step / 10 });
  }
  writer.close();
}

describe.skipIf(!isThere)(`TensorBoard (skipped where ${python} has none)`, () => {
  it("reads our scalars, and each step once after a run was resumed", () => {
    const count = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);
    train(count(0, 8), [], 1_800_000_000_000);
    // The newest checkpoint was that of step 5, whose held-out loss is measured again.
    train(count(6, 12), [0, 5], 1_800_001_000_000);
    const series = JSON.parse(execFileSync(python, ["-c", script, directory], { encoding: "utf8" })) as Record<
      string,
      [number, number, number][]
    >;
    expect(Object.keys(series).sort()).toEqual([
      "eval/loss",
      "train/epoch",
      "train/grad_norm",
      "train/learning_rate",
      "train/loss",
    ]);
    expect(series["train/loss"]!.map(([step]) => step)).toEqual(count(1, 12));
    expect(series["train/loss"]!.map(([, loss]) => loss)).toEqual(
      count(1, 12).map((step) => Math.round((4 - step / 10) * 1e5) / 1e5),
    );
    expect(series["train/loss"]!.map(([, , time]) => time > 1_800_000_500)).toEqual(count(1, 12).map((s) => s > 5));
    expect(series["eval/loss"]!.map(([step]) => step)).toEqual([0, 5, 10]);
  });
});
