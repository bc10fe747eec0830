import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RunEvent } from "../../coordinator/observe/eventLog.ts";
import { MlflowClient, mlflowServer } from "../../coordinator/observe/mlflow/mlflowClient.ts";
import { MlflowTracker } from "../../coordinator/observe/mlflow/mlflowTracker.ts";
import type { Clock } from "../../shared/clock.ts";
import { systemClock } from "../../shared/clock.ts";
import { CoordHome } from "../support/coord.ts";
import { FakeMlflow } from "../support/fakeMlflow.ts";
import { smallRun } from "../support/smallRun.ts";

let server: FakeMlflow;
beforeEach(async () => {
  server = await FakeMlflow.start("secret");
});
afterEach(() => server.stop());

const environment = () => ({ MLFLOW_TRACKING_URI: `${server.url}/`, MLFLOW_TRACKING_TOKEN: "secret" });

describe("--report-to mlflow", () => {
  let home: CoordHome;
  beforeEach(async () => {
    home = await CoordHome.create();
  });
  afterEach(() => home.remove());

  it("sends a run's figures and settings, goes on with them after a resume, and doubles no point", async () => {
    const flags = [...(await smallRun(home)), "--output", home.path("out"), "--report-to", "mlflow"];
    const steps = ["--max-steps", "16", "--save-steps", "6", "--eval-split", "0.1", "--eval-steps", "5"];
    const first = await home.coord(["launch", ...flags, ...steps], environment());
    expect(first.exitCode).toBe(0);
    expect(server.refused).toEqual([]);
    expect(server.experiments).toEqual(["coord"]);
    const run = server.runs[0]!;
    expect(run.statuses).toEqual(["RUNNING", "FINISHED"]);
    expect(run.params.get("learningRate")).toBe("0.01");
    const lossesOf = () => run.points.filter(({ key }) => key === "train/loss");
    expect(lossesOf().map(({ step }) => step)).toEqual(Array.from({ length: 16 }, (_, index) => index + 1));
    const recorded = (await home.metrics(run.name)).filter((line) => "learningRate" in line);
    expect(lossesOf().map(({ value }) => value)).toEqual(recorded.map(({ loss }) => loss));
    expect(run.points.filter(({ key }) => key === "eval/loss").map(({ step }) => step)).toEqual([0, 5, 10, 15, 16]);

    // Steps 7 to 16 are taken a second time, on the way to 20.
    const again = await home.coord(["resume", run.name, "--from", "checkpoint-6", "--max-steps", "20"], environment());
    expect(again).toMatchObject({ exitCode: 0 });
    expect(server.runs).toHaveLength(1);
    expect(run.statuses).toEqual(["RUNNING", "FINISHED", "RUNNING", "FINISHED"]);
    expect(lossesOf().map(({ step }) => step)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect(server.refused).toEqual([]);
  });

  it("refuses a run without the address of a server, and trains on without one that answers", async () => {
    const flags = [
      ...(await smallRun(home)),
      "--output",
      home.path("out"),
      "--report-to",
      "mlflow",
      "--max-steps",
      "3",
    ];
    const refused = await home.coord(["launch", ...flags], { MLFLOW_TRACKING_URI: "" });
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain("--report-to mlflow needs MLFLOW_TRACKING_URI");

    const nobody = { MLFLOW_TRACKING_URI: "http://127.0.0.1:9" };
    const { exitCode, stdout } = await home.coord(["launch", ...flags], nobody);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/MLflow has not got the run's last figures: http:\/\/127\.0\.0\.1:9 does not answer/);
  });
});

describe("a tracker for MLflow", () => {
  const event = (step: number, kind: RunEvent["kind"] = "step"): RunEvent => ({
    ...{ sequence: step, timeMs: 1_800_000_000_000 + step, kind, message: "" },
    data: { step, loss: step === 3 ? Number.NaN : 1 / step },
  });
  /** Pauses between two tries pass at once; the patience at the end does not. */
  const hasty: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms < 10_000 ? 0 : ms, signal) };
  const warnings: string[] = [];
  const open = (known?: string, clock = hasty) =>
    new MlflowTracker({
      ...{ client: new MlflowClient(mlflowServer(environment())), experiment: "e", runName: "r", params: {}, clock },
      ...{ loggingSteps: 1, mlflowRunId: known, keep: async () => {}, onWarning: (text) => warnings.push(text) },
    });
  beforeEach(() => void warnings.splice(0));

  it("keeps what a server that is away has not taken, and says so once", async () => {
    server.failing = { status: 503, times: 7 };
    const tracker = open();
    for (let step = 1; step <= 2500; step++) tracker.add(event(step));
    await expect.poll(() => server.runs[0]?.points.length).toBe(2500);
    await tracker.close("stopped");
    expect(server.runs[0]!.statuses.at(-1)).toBe("KILLED");
    expect(server.runs[0]!.points[2]!.value).toBe("NaN");
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/they wait: .* answers 503/);
    expect(server.refused).toEqual([]);
  });

  it("gives up where the server says no, and does not ask again", async () => {
    server.failing = { status: 403, times: 1 };
    const tracker = open();
    await expect.poll(() => warnings.length).toBe(1);
    tracker.add(event(1));
    await tracker.close("finished");
    expect(warnings).toEqual([expect.stringMatching(/^MLflow gets no more figures: .* answers 403/)]);
    expect(server.runs).toEqual([]);
  });

  it("sends what came since the last look at the end", async () => {
    const tracker = open(undefined, systemClock);
    tracker.add(event(1));
    await tracker.close("failed");
    expect(server.runs[0]!.points.map(({ key, step }) => [key, step])).toEqual([["train/loss", 1]]);
    expect(server.runs[0]!.statuses.at(-1)).toBe("FAILED");
  });
});
