import { existsSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { PlanDocument } from "../../coordinator/plan/planDocument.ts";
import { CoordHome } from "../support/coord.ts";
import { smallRun } from "../support/smallRun.ts";

let home: CoordHome;
beforeEach(async () => {
  home = await CoordHome.create();
});
afterEach(() => home.remove());

describe("coord plan", () => {
  it("says 27,974 steps for the data set of 223,781 samples, without model or data", async () => {
    const flags = ["--per-device-train-batch-size", "4", "--gradient-accumulation-steps", "4"];
    const { exitCode, stdout } = await home.coord([
      ...["plan", "--samples", "223781", "--num-train-epochs", "2"],
      ...flags,
    ]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^ {2}steps +27,974 \(2 epochs of 13,987\), 16 samples each$/m);
    expect(stdout).not.toContain("memory");
  });

  it("estimates from rows and writes nothing, then takes samples and speed from a run that was made", async () => {
    const flags = await smallRun(home);
    const plan = (...more: string[]) => home.json<PlanDocument>(["plan", ...flags, ...more]);
    const before = await plan("--memory-gb", "1");
    expect(existsSync(home.home)).toBe(false);
    expect(before.data).toMatchObject({ trainSize: 40, source: { kind: "sample", rows: 40, sampled: 40 } });
    expect(before.plan.steps).toBe(20);
    expect(before.model!.memory.total).toBeLessThan(2 ** 30);
    expect(before.model!.largest!.batch).toBeGreaterThan(2);
    expect(before.model!.largest!.total).toBeLessThanOrEqual(2 ** 30);

    const runId = await home.launch([...flags, "--output", home.path("out"), "--save-steps", "8"]);
    expect((await home.coord(["attach", runId])).exitCode).toBe(0);
    const steps = (await home.metrics(runId)).filter((line) => "learningRate" in line);
    const after = await plan("--like", runId);
    expect(after.data).toMatchObject({ trainSize: 40, source: { kind: "cache" } });
    expect(after.plan.steps).toBe(steps.length);
    expect(after.plan.tokens).toBe(steps.at(-1)!["inputTokens"]);
    expect(after.plan.time!.computeSeconds).toBeGreaterThan(0);
    expect(after.slotSeconds!.source).toBe(`run ${runId}`);
  });

  it("refuses a number that is none, and target modules that the model has not", async () => {
    expect(await home.coord(["plan", "--memory-gb", "0"])).toMatchObject({
      exitCode: 2,
      stderr: 'coord: --memory-gb must be a number above 0, got "0".',
    });
    const flags = await smallRun(home);
    const { exitCode, stderr } = await home.coord(["plan", ...flags, "--target-modules", "query"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('--target-modules names "query"');
  });
});
