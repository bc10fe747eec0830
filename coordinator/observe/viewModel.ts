import type { Event, RunStatus, WatchResponse } from "../../shared/gen/coord/v1/run_pb.ts";
import { type EventData, parseEventData } from "./eventData.ts";
import { emptyTrail, extendTrail, type LossTrail } from "./lossTrail.ts";
import { type RunStateName, runStateName } from "./runStateName.ts";

/** A loss and the number of steps that the parameters had taken. */
export interface LossAt {
  readonly step: number;
  readonly loss: number;
}

/** The workers of one node in a line. */
export interface NodeView {
  readonly node: number;
  readonly host: string;
  /** Workers in each state, by its name. */
  readonly states: Readonly<Record<string, number>>;
  /** Of all its workers. */
  readonly residentBytes: number;
  /** A worker that keeps the others waiting. */
  readonly straggling: boolean;
}

/** Everything that the attached view shows, as plain numbers. */
export interface ViewModel {
  readonly runId: string;
  readonly state: RunStateName;
  readonly reason: string;
  readonly step: number;
  /** 0 while not known. */
  readonly maxSteps: number;
  readonly generation: number;
  readonly workersAlive: number;
  readonly worldSize: number;
  readonly nodes: readonly NodeView[];
  readonly output: string;
  /** Newest checkpoint directory; empty before the first. */
  readonly checkpoint: string;
  readonly checkpointsSeen: number;
  readonly errorCode: string;
  readonly exitCode: number;
  readonly firstLoss?: LossAt;
  readonly lastLoss?: LossAt;
  /** Exponential moving average of the loss, corrected for its start. */
  readonly smoothedLoss?: number;
  readonly smoothingWeight: number;
  /** Smoothed losses from the start of the view to now, thinned out. */
  readonly losses: LossTrail;
  readonly learningRate?: number;
  readonly gradientNorm?: number;
  readonly tokensPerSecond?: number;
  readonly inputTokens: number;
  readonly etaSeconds?: number;
  /** Wall-clock time of the newest figures, from which the ETA counts down. */
  readonly metricsAtMs?: number;
  readonly firstEvaluation?: LossAt;
  readonly lastEvaluation?: LossAt;
  /** The lowest of those seen. */
  readonly bestEvaluation?: LossAt;
  /** Progress of preparing the data set; `total` is 0 while not known. */
  readonly data?: { readonly message: string; readonly done: number; readonly total: number };
  readonly failure?: { readonly message: string; readonly timeMs: number } & Pick<
    EventData,
    "worker" | "lastLines" | "log"
  >;
  /** Wall-clock times of the first and newest event. */
  readonly startedAtMs?: number;
  readonly newestAtMs?: number;
}

/** The model before anything is known. */
export const emptyModel: ViewModel = {
  runId: "",
  state: "unknown",
  reason: "",
  step: 0,
  maxSteps: 0,
  generation: 0,
  workersAlive: 0,
  worldSize: 0,
  nodes: [],
  losses: emptyTrail,
  output: "",
  checkpoint: "",
  checkpointsSeen: 0,
  errorCode: "",
  exitCode: 0,
  smoothingWeight: 0,
  inputTokens: 0,
};

/** The decay of the smoothed loss: about the last ten steps count. */
const decay = 0.9;

/** Takes one message of the watch stream into the model. */
export function updateModel(model: ViewModel, response: WatchResponse): ViewModel {
  const { status, event } = response;
  const withStatus = status === undefined ? model : takeStatus(model, status);
  return event === undefined ? withStatus : takeEvent(withStatus, event, status);
}

function takeStatus(model: ViewModel, status: RunStatus): ViewModel {
  const { metrics } = status;
  return {
    ...model,
    runId: status.runId,
    state: runStateName(status.state),
    reason: status.reason,
    step: Number(status.step),
    maxSteps: Number(status.maxSteps),
    generation: Number(status.generation),
    workersAlive: status.workers.filter(({ state }) => !absentStates.has(state)).length,
    worldSize: status.worldSize,
    nodes: nodesOf(status.workers),
    output: status.output,
    checkpoint: status.checkpoint || model.checkpoint,
    errorCode: status.errorCode,
    exitCode: status.exitCode,
    ...(metrics === undefined
      ? {}
      : {
          learningRate: metrics.learningRate,
          gradientNorm: metrics.gradientNorm,
          tokensPerSecond: metrics.tokensPerSecond,
          inputTokens: Number(metrics.inputTokens),
          etaSeconds: metrics.etaSeconds,
        }),
  };
}

function nodesOf(workers: RunStatus["workers"]): NodeView[] {
  const nodes = new Map<number, NodeView>();
  for (const { host, nodeRank, residentBytes, state, straggling } of workers) {
    const known = nodes.get(nodeRank) ?? { node: nodeRank, host, states: {}, residentBytes: 0, straggling: false };
    nodes.set(nodeRank, {
      ...known,
      host: known.host || host,
      states: { ...known.states, [state]: (known.states[state] ?? 0) + 1 },
      residentBytes: known.residentBytes + Number(residentBytes),
      straggling: known.straggling || straggling !== "",
    });
  }
  return [...nodes.values()].sort((a, b) => a.node - b.node);
}

/** Worker states in which no process takes part. */
const absentStates: ReadonlySet<string> = new Set(["starting", "lost", "left"]);

function takeEvent(before: ViewModel, event: Event, status: RunStatus | undefined): ViewModel {
  const timeMs = Number(event.timeMs);
  const model = { ...before, startedAtMs: before.startedAtMs ?? timeMs, newestAtMs: timeMs };
  const data = parseEventData(event.dataJson);
  const metrics = status?.metrics;
  switch (event.kind) {
    case "step": {
      const step = data.step ?? Number(metrics?.step ?? 0);
      const loss = data.loss ?? metrics?.loss;
      return loss === undefined ? model : takeLoss(model, { step, loss }, timeMs);
    }
    case "evaluation": {
      if (data.loss === undefined) return model;
      const evaluation = { step: data.step ?? model.step, loss: data.loss };
      const { bestEvaluation: best = evaluation, firstEvaluation = evaluation } = model;
      const bestEvaluation = evaluation.loss < best.loss ? evaluation : best;
      return { ...model, firstEvaluation, lastEvaluation: evaluation, bestEvaluation };
    }
    case "checkpoint":
      return { ...model, checkpointsSeen: model.checkpointsSeen + 1, checkpoint: data.path ?? model.checkpoint };
    case "data":
      if (data.done === undefined) return model;
      return { ...model, data: { message: event.message, done: data.done, total: data.total ?? 0 } };
    case "error": {
      const { worker, lastLines, log } = data;
      // The first error is the root cause; what follows are its consequences.
      const cause = {
        message: event.message,
        timeMs,
        ...(worker === undefined ? {} : { worker }),
        ...(lastLines === undefined ? {} : { lastLines }),
        ...(log === undefined ? {} : { log }),
      };
      return { ...model, failure: model.failure ?? cause };
    }
    default:
      return model;
  }
}

function takeLoss(model: ViewModel, at: LossAt, timeMs: number): ViewModel {
  const weight = decay * model.smoothingWeight + (1 - decay);
  const sum = decay * model.smoothingWeight * (model.smoothedLoss ?? 0) + (1 - decay) * at.loss;
  const smoothedLoss = sum / weight;
  return {
    ...model,
    firstLoss: model.firstLoss ?? at,
    lastLoss: at,
    smoothedLoss,
    losses: extendTrail(model.losses, smoothedLoss),
    smoothingWeight: weight,
    metricsAtMs: timeMs,
  };
}
