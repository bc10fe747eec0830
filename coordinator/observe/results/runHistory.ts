import type { RunEvent } from "../eventLog.ts";

/** A loss at a step. */
export interface LossPoint {
  readonly step: number;
  /** Mean per label token, in nats. */
  readonly loss: number;
}

/** What a run's events add up to; steps that were taken back and repeated count once. Times in milliseconds. */
export interface RunHistory {
  readonly training: readonly LossPoint[];
  readonly evaluations: readonly LossPoint[];
  /** Epochs done. */
  readonly epoch: number;
  readonly inputTokens: number;
  /** Samples of the training set and held out. */
  readonly trainSize: number;
  readonly evaluationSize: number;
  /** From the first worker group of each start to the end or stop that followed it. */
  readonly runtimeMs: number;
  /** In steps whose result was kept. */
  readonly productiveMs: number;
  /** Between the last sign of progress and the worker group that went on, including the part of a step that was lost. */
  readonly restartMs: number;
  /** In steps that were taken back because training went back to a checkpoint. */
  readonly repeatedMs: number;
  /** Steps before which workers were replaced. */
  readonly restarts: readonly number[];
}

interface Step extends LossPoint {
  readonly epoch: number;
  readonly stepMs: number;
  readonly inputTokens: number;
}

/** Reads a run's events in order, over all of its coordinators. */
export function runHistory(events: readonly RunEvent[]): RunHistory {
  const history = new History();
  for (const event of events) history.add(event);
  return history.finish();
}

class History {
  #steps: Step[] = [];
  #evaluations: LossPoint[] = [];
  readonly #restarts: number[] = [];
  #sizes = { trainSize: 0, evaluationSize: 0 };
  #runtimeMs = 0;
  #restartMs = 0;
  #repeatedMs = 0;
  /** Where training has been going on since; undefined while it does not. */
  #trainingSinceMs: number | undefined;
  #progressMs = 0;
  #newestMs = 0;

  add({ data, kind, timeMs }: RunEvent): void {
    this.#newestMs = timeMs;
    switch (kind) {
      case "data":
        if (typeof data["trainSize"] === "number") {
          this.#sizes = { trainSize: data["trainSize"], evaluationSize: numberOf(data["evaluationSize"]) };
        }
        break;
      case "membership":
        if (data["generation"] !== undefined) this.#formed(timeMs);
        break;
      case "state":
        if (finalStates.has(String(data["state"]))) this.#ended(timeMs);
        break;
      case "step":
        this.#stepped(data);
        this.#progressMs = timeMs;
        break;
      case "evaluation":
        this.#evaluated({ step: numberOf(data["step"]), loss: numberOf(data["loss"]) });
        this.#progressMs = timeMs;
        break;
      case "checkpoint":
        this.#progressMs = timeMs;
        break;
    }
  }

  finish(): RunHistory {
    // A coordinator that crashed has left no end; its last words are the best guess.
    this.#ended(this.#newestMs);
    const last = this.#steps.at(-1);
    return {
      training: this.#steps.map(({ loss, step }) => ({ step, loss })),
      evaluations: this.#evaluations,
      epoch: last?.epoch ?? 0,
      inputTokens: last?.inputTokens ?? 0,
      ...this.#sizes,
      runtimeMs: this.#runtimeMs,
      productiveMs: this.#steps.reduce((total, { stepMs }) => total + stepMs, 0),
      restartMs: this.#restartMs,
      repeatedMs: this.#repeatedMs,
      restarts: this.#restarts,
    };
  }

  #formed(timeMs: number): void {
    if (this.#trainingSinceMs === undefined) this.#trainingSinceMs = timeMs;
    else {
      this.#restartMs += timeMs - this.#progressMs;
      this.#restarts.push((this.#steps.at(-1)?.step ?? 0) + 1);
    }
    this.#progressMs = timeMs;
  }

  #ended(timeMs: number): void {
    if (this.#trainingSinceMs !== undefined) this.#runtimeMs += timeMs - this.#trainingSinceMs;
    this.#trainingSinceMs = undefined;
  }

  #stepped(data: RunEvent["data"]): void {
    const step = numberOf(data["step"]);
    this.#goBack(step - 1);
    this.#steps.push({
      step,
      loss: numberOf(data["loss"]),
      epoch: numberOf(data["epoch"]),
      stepMs: numberOf(data["stepMs"]),
      inputTokens: numberOf(data["inputTokens"]),
    });
  }

  #evaluated(point: LossPoint): void {
    this.#evaluations = [...this.#evaluations.filter(({ step }) => step !== point.step), point];
  }

  /** Forgets what came after a step: it is done again. Nothing is, where workers have kept their state. */
  #goBack(step: number): void {
    while ((this.#steps.at(-1)?.step ?? 0) > step) this.#repeatedMs += this.#steps.pop()!.stepMs;
    if ((this.#evaluations.at(-1)?.step ?? 0) > step) {
      this.#evaluations = this.#evaluations.filter((point) => point.step <= step);
    }
  }
}

const finalStates = new Set(["finished", "stopped", "failed"]);

function numberOf(value: unknown): number {
  return typeof value === "number" ? value : 0;
}
