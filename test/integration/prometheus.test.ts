import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";
import { RunMetrics } from "../../coordinator/observe/prometheus/runMetrics.ts";
import { SimulatedRun } from "../support/simulatedRun.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

const hasPromtool = spawnSync("promtool", ["--version"]).status === 0;

it.skipIf(!hasPromtool)(
  "promtool finds nothing wrong with our metrics (skipped where Debian's prometheus is missing)",
  async () => {
    const run = await SimulatedRun.create(temporaryDirectory(), { nodes: 2, gpus: 2 });
    const metrics = new RunMetrics(run.directory.runId, () => run.status);
    metrics.add({ sequence: 1, timeMs: 0, kind: "step", message: "", data: { step: 1, stepMs: 3, gradientNorm: 1 } });
    const input = (await metrics.text()).body;
    const checked = spawnSync("promtool", ["check", "metrics"], { input, encoding: "utf8" });
    expect(checked.stderr + checked.stdout).toBe("");
    expect(checked.status).toBe(0);
    // It does find something where there is something.
    expect(spawnSync("promtool", ["check", "metrics"], { input: "# TYPE Steps counter\nSteps 1\n" }).status).not.toBe(
      0,
    );
  },
);
