import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { RunEvent } from "../../../../../coordinator/observe/eventLog.ts";
import { RunMetrics } from "../../../../../coordinator/observe/prometheus/runMetrics.ts";
import type { StatusDocument } from "../../../../../coordinator/observe/renderStatus.ts";
import { packageRoot } from "../../../../../shared/process/packageRoot.ts";

const worker = (localRank: number, state: string): StatusDocument["workers"][number] => ({
  ...{ rank: localRank, node: 0, localRank, pid: 1, host: "h", state, step: 3, silentMs: 0, restarts: localRank },
  ...{ residentBytes: 1000, straggling: localRank === 1 ? "slow" : null },
  times: { dataMs: 1, computeMs: 500, waitMs: 2, reduceMs: 3, updateMs: 4 },
});
const status: StatusDocument = {
  ...{ run: "r", state: "training", reason: "", step: 3, maxSteps: 10, generation: 2, worldSize: 2, output: "/o" },
  ...{ checkpoint: null, adapter: null, loss: 1.5, learningRate: 1e-4, tokensPerSecond: 100, etaSeconds: 7 },
  ...{ errorCode: null, exitCode: null, job: null, workers: [worker(0, "computing"), worker(1, "reducing")] },
};
const step = (number: number, inputTokens: number): RunEvent => ({
  ...{ sequence: number, timeMs: 0, kind: "step", message: "" },
  data: { step: number, stepMs: 250, gradientNorm: 0.5, inputTokens },
});

async function textAfter(...events: RunEvent[]): Promise<string> {
  const metrics = new RunMetrics("r", () => status);
  for (const event of events) metrics.add(event);
  return (await metrics.text()).body;
}

it("counts steps, tokens and checkpoints, in base units and under the run's name", async () => {
  const text = await textAfter(step(1, 100), step(2, 250), step(2, 250), {
    ...{ sequence: 4, timeMs: 0, kind: "checkpoint", message: "" },
    data: { step: 2, tookMs: 40 },
  });
  expect(text).toContain('coord_steps_total{run="r"} 3');
  expect(text).toContain('coord_input_tokens_total{run="r"} 150');
  expect(text).toContain('coord_step_duration_seconds_sum{run="r"} 0.75');
  expect(text).toContain('coord_checkpoint_write_duration_seconds_count{run="r"} 1');
});

it("shows the state of the run and of each worker", async () => {
  const text = await textAfter();
  expect(text).toContain('coord_run_state{state="training",run="r"} 1');
  expect(text).toContain('coord_run_state{state="failed",run="r"} 0');
  expect(text).toContain('coord_workers{state="reducing",run="r"} 1');
  expect(text).toContain('coord_worker_step_seconds{node="0",worker="1",part="compute",run="r"} 0.5');
  expect(text).toContain('coord_worker_straggling{node="0",worker="1",run="r"} 1');
});

it("has every metric that the Grafana dashboard asks for", async () => {
  const text = await textAfter(step(1, 1));
  const dashboard = readFileSync(join(packageRoot(), "deploy", "grafana", "coord.json"), "utf8");
  const asked = new Set(dashboard.match(/coord_[a-z_]+/g));
  expect(asked.size).toBeGreaterThan(15);
  for (const name of asked) expect(text).toMatch(new RegExp(`^${name}[{ ]`, "m"));
});
