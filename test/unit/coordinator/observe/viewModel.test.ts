import { describe, expect, it } from "vitest";
import { parseEventData } from "../../../../coordinator/observe/eventData.ts";
import { emptyModel, updateModel } from "../../../../coordinator/observe/viewModel.ts";
import { RunState } from "../../../../shared/gen/coord/v1/run_pb.ts";
import { response, runId, startMs } from "./literals.ts";

describe("updateModel", () => {
  it("takes state, counts and figures from the status", () => {
    const metrics = {
      step: 10n,
      loss: 2.5,
      learningRate: 1e-4,
      tokensPerSecond: 900,
      etaSeconds: 60,
      inputTokens: 4096n,
    };
    const workers = ["computing", "loading", "starting", "lost", "left"].map((state) => ({ state }));
    expect(updateModel(emptyModel, response(undefined, { metrics, workers, worldSize: 5 }))).toMatchObject({
      runId,
      state: "training",
      step: 10,
      maxSteps: 500,
      workersAlive: 2,
      worldSize: 5,
      learningRate: 1e-4,
      tokensPerSecond: 900,
      etaSeconds: 60,
      inputTokens: 4096,
    });
  });

  it("smooths the loss, starting at the first one", () => {
    const losses = [4, 2, 2];
    const models = losses.map((_, last) =>
      losses
        .slice(0, last + 1)
        .reduce(
          (model, loss, index) => updateModel(model, response({ kind: "step", data: { step: index + 1, loss } })),
          emptyModel,
        ),
    );
    // Weights 0.9^k, normalised: (0.9·4 + 2) / 1.9 and (0.81·4 + 0.9·2 + 2) / 2.71.
    expect(models.map(({ smoothedLoss }) => smoothedLoss?.toFixed(6))).toEqual(["4.000000", "2.947368", "2.597786"]);
    expect(models.at(-1)).toMatchObject({ firstLoss: { step: 1, loss: 4 }, lastLoss: { step: 3, loss: 2 } });
  });

  it("takes a step's loss from the figures of the status when the event has none", () => {
    const model = updateModel(emptyModel, response({ kind: "step" }, { metrics: { step: 7n, loss: 3 } }));
    expect(model.lastLoss).toEqual({ step: 7, loss: 3 });
  });

  it("keeps the first and the newest held-out loss", () => {
    const model = [3, 2.5, 2.4].reduce(
      (before, loss, index) => updateModel(before, response({ kind: "evaluation", data: { step: index * 100, loss } })),
      emptyModel,
    );
    expect(model).toMatchObject({ firstEvaluation: { step: 0, loss: 3 }, lastEvaluation: { step: 200, loss: 2.4 } });
  });

  it("keeps the first error as the cause", () => {
    const data = { worker: "rank 3", lastLines: "a\nb", log: "/logs/3" };
    const failed = updateModel(emptyModel, response({ kind: "error", message: "Out of memory.", data }));
    const after = updateModel(
      failed,
      response({ kind: "error", message: "A peer is gone." }, { state: RunState.FAILED }),
    );
    expect(after).toMatchObject({ state: "failed", failure: { message: "Out of memory.", ...data } });
  });

  it("counts checkpoints and spans the time of all events", () => {
    const first = updateModel(emptyModel, response({ kind: "checkpoint", data: { path: "/o/checkpoint-1" } }));
    const second = updateModel(
      first,
      response({ kind: "checkpoint", timeMs: startMs + 5000 }, { checkpoint: "/o/checkpoint-2" }),
    );
    expect(second).toMatchObject({
      checkpointsSeen: 2,
      checkpoint: "/o/checkpoint-2",
      startedAtMs: startMs,
      newestAtMs: startMs + 5000,
    });
  });
});

describe("parseEventData", () => {
  it("leaves out what is of another type or no JSON at all", () => {
    expect(parseEventData('{"loss":"2","step":3,"path":"","extra":1}')).toEqual({ step: 3 });
    expect(parseEventData("not json")).toEqual({});
    expect(parseEventData("[1]")).toEqual({});
  });
});
