import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RunEvent } from "../../coordinator/observe/eventLog.ts";
import { CoordHome, eventually } from "../support/coord.ts";
import { smallRun } from "../support/smallRun.ts";

let home: CoordHome;
beforeEach(async () => {
  home = await CoordHome.create();
});
afterEach(() => home.remove());

const results = async (name: string) =>
  JSON.parse(await readFile(home.path("out", name), "utf8")) as Record<string, number>;

describe("a run that is stopped and resumed", () => {
  it("leaves results, a loss curve, TensorBoard files and its events", async () => {
    const flags = [...(await smallRun(home, 44)), "--output", home.path("out"), "--eval-split", "0.1"];
    const runId = await home.launch([...flags, "--num-train-epochs", "40", "--report-to", "tensorboard"]);
    await eventually("the third step", async () => ((await home.metrics(runId)).length > 3 ? true : undefined));
    await home.coord(["stop", runId]);
    const stopped = await home.json<{ step: number; state: string }>(["status", runId]);
    expect(stopped.state).toBe("stopped");
    expect(await results("train_results.json")).toMatchObject({ train_samples: 40 });

    const maxSteps = stopped.step + 10;
    const resumed = await home.coord(["resume", runId, "--max-steps", String(maxSteps)]);
    expect(resumed, resumed.stderr).toMatchObject({ exitCode: 0 });

    const metrics = await home.metrics(runId);
    const losses = metrics.filter((line) => "learningRate" in line).map((line) => line["loss"]!);
    const train = await results("train_results.json");
    expect(losses).toHaveLength(maxSteps);
    expect(train["train_loss"]).toBeCloseTo(losses.reduce((a, b) => a + b, 0) / maxSteps, 10);
    expect(train["train_runtime"]).toBeGreaterThan(0);
    expect(train["epoch"]).toBeCloseTo(maxSteps / 20, 3);
    expect(train["goodput"]).toBeGreaterThan(0);
    const all = await results("all_results.json");
    expect(all["eval_samples"]).toBe(4);
    expect(all["perplexity"]).toBeCloseTo(Math.exp(all["eval_loss"]!), 10);

    const svg = await readFile(home.path("out", "loss_curve.svg"), "utf8");
    expect(svg).toContain(`Loss of run ${runId}`);
    expect(svg).toContain("held out");
    expect((await readFile(home.path("out", "loss_curve.png"))).subarray(1, 4).toString()).toBe("PNG");
    const experiment = JSON.parse(await readFile(home.path("out", "experiment_results.json"), "utf8")) as {
      run: string;
      settings: { maxSteps: number };
      results: object;
      best_eval_loss: { loss: number };
    };
    expect(experiment).toMatchObject({ run: runId, settings: { maxSteps } });
    expect(experiment.results).toEqual(all);
    expect(experiment.best_eval_loss.loss).toBeLessThanOrEqual(all["eval_loss"]!);

    expect(await readdir(home.path("out", "runs", runId))).toHaveLength(2);

    const events = await home.json<RunEvent[]>(["events", runId]);
    expect(events.filter(({ kind }) => kind === "step")).toHaveLength(maxSteps);
    const { stdout } = await home.coord(["events", runId]);
    expect(stdout).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}state {7}Finished after \d+ steps\.$/m);
    expect(stdout).not.toMatch(/ step +Step /);
    expect((await home.coord(["events", runId, "--all"])).stdout).toMatch(/ step +Step 1 of /);
  });
});

describe("a run that took no step", () => {
  it("leaves no results", async () => {
    const flags = [...(await smallRun(home)), "--output", home.path("out")];
    const runId = await home.launch(flags);
    await home.coord(["stop", "--now", runId]);
    const { step } = await home.json<{ step: number }>(["status", runId]);
    expect(existsSync(join(home.path("out"), "train_results.json"))).toBe(step > 0);
  });
});
