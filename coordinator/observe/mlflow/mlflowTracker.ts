import { backoffDelayMs } from "../../../shared/backoff.ts";
import type { Clock } from "../../../shared/clock.ts";
import type { RunEvent } from "../eventLog.ts";
import { scalarsOf } from "../tensorboard/scalarsOf.ts";
import type { Tracker, TrackerEnd } from "../tracker.ts";
import { type Metric, type MlflowClient, MlflowError, type RunStatus } from "./mlflowClient.ts";

export interface MlflowOptions {
  readonly client: MlflowClient;
  readonly experiment: string;
  readonly runName: string;
  /** Settings of the run, for the table of parameters. */
  readonly params: Readonly<Record<string, unknown>>;
  /** Steps between two points. */
  readonly loggingSteps: number;
  readonly clock: Clock;
  /** MLflow's id of the run, where an earlier coordinator has made it. */
  readonly mlflowRunId: string | undefined;
  /** Keeps the id for coordinators to come. */
  keep(mlflowRunId: string): Promise<void>;
  onWarning(message: string): void;
}

/** MLflow's own limits of one log-batch. */
const mostMetrics = 1000;
const mostParams = 100;
const longestParam = 500;
/** Points that wait for a server that does not answer; beyond, the oldest are lost. */
const mostWaiting = 100_000;
const flushMs = 2000;
/** Milliseconds that the end of a run waits for a server. */
const closeMs = 10_000;

/**
 * Sends a run's figures to an MLflow server, behind training's back: a server that is away is tried again, one that refuses
 * is given up with a warning. The run's MLflow run goes on after a resume, and a step that it has is not sent again.
 */
export class MlflowTracker implements Tracker {
  readonly #options: MlflowOptions;
  readonly #closing = new AbortController();
  readonly #working: Promise<void>;
  #waiting: Metric[] = [];
  #lost = 0;
  #warned = false;
  /** The server does not want them: no later call will be taken either. */
  #refused = false;
  #opened = false;
  #runId: string | undefined;
  #newest = new Map<string, number>();

  constructor(options: MlflowOptions) {
    this.#options = options;
    this.#runId = options.mlflowRunId;
    this.#working = this.#work();
  }

  add(event: RunEvent): void {
    const scalars = scalarsOf(event);
    if (scalars === undefined) return;
    const { step, values } = scalars;
    if (event.kind === "step" && step !== 1 && step % this.#options.loggingSteps !== 0) return;
    for (const [key, value] of Object.entries(values)) {
      // As protobuf's JSON writes what is no number: a loss that is NaN shall be seen.
      this.#waiting.push({ key, value: Number.isFinite(value) ? value : String(value), timestamp: event.timeMs, step });
    }
    const over = this.#waiting.length - mostWaiting;
    if (over > 0) this.#lost += this.#waiting.splice(0, over).length;
  }

  /** Sends what is left, for as long as a user waits for an end. */
  async close(end: TrackerEnd): Promise<void> {
    const { clock, onWarning } = this.#options;
    this.#closing.abort();
    const finish = async () => {
      await this.#working;
      if (this.#refused) return;
      await this.#open();
      await this.#flush();
      await this.#options.client.setStatus(this.#runId!, statuses[end], Date.now());
    };
    const done = new AbortController();
    const problem = await Promise.race([
      finish().then(() => "", reason),
      clock.sleep(closeMs, done.signal).then(
        () => `no answer within ${closeMs / 1000} s`,
        () => "",
      ),
    ]);
    done.abort();
    if (problem !== "") onWarning(`MLflow has not got the run's last figures: ${problem}.`);
    if (this.#lost > 0) onWarning(`MLflow was away for so long that ${this.#lost} figures are not there.`);
  }

  async #work(): Promise<void> {
    const { clock, onWarning } = this.#options;
    for (let failures = 0; !this.#closing.signal.aborted; ) {
      try {
        await this.#open();
        await this.#flush();
        failures = 0;
      } catch (thrown) {
        if (thrown instanceof MlflowError && !thrown.mayPass) {
          this.#refused = true;
          onWarning(`MLflow gets no more figures: ${reason(thrown)}.`);
          return;
        }
        failures++;
        this.#warn(`MLflow does not take the run's figures; they wait: ${reason(thrown)}.`);
      }
      const pauseMs = failures === 0 ? flushMs : flushMs + backoffDelayMs(failures, Math.random());
      await clock.sleep(pauseMs, this.#closing.signal).catch(() => undefined);
    }
  }

  /** Makes the run, or finds out what an earlier coordinator has sent of it. */
  async #open(): Promise<void> {
    const { client, experiment, keep, params, runName } = this.#options;
    if (this.#opened) return;
    if (this.#runId === undefined) {
      const experimentId = await client.experiment(experiment);
      const tags = { "mlflow.source.name": "coord", "mlflow.source.type": "JOB", "coord.run": runName };
      const runId = await client.createRun({ experimentId, name: runName, startMs: Date.now(), tags });
      await keep(runId);
      this.#runId = runId;
      const given = Object.entries(params).map(([key, value]) => ({ key, value: paramText(value) }));
      for (let at = 0; at < given.length; at += mostParams) {
        await client.logBatch(runId, [], given.slice(at, at + mostParams));
      }
    } else {
      this.#newest = await client.newestSteps(this.#runId);
      await client.setStatus(this.#runId, "RUNNING");
    }
    this.#opened = true;
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, mostMetrics);
      const fresh = batch.filter(({ key, step }) => step > (this.#newest.get(key) ?? -1));
      if (fresh.length > 0) await this.#options.client.logBatch(this.#runId!, fresh);
      for (const { key, step } of fresh) this.#newest.set(key, Math.max(step, this.#newest.get(key) ?? -1));
      // Others may have been dropped from the front meanwhile.
      const last = batch.at(-1)!;
      this.#waiting = this.#waiting.slice(this.#waiting.indexOf(last) + 1);
    }
  }

  /** Once: a server that is away for hours is no news each time. */
  #warn(message: string): void {
    if (!this.#warned) this.#options.onWarning(message);
    this.#warned = true;
  }
}

const statuses: Readonly<Record<TrackerEnd, RunStatus>> = { finished: "FINISHED", stopped: "KILLED", failed: "FAILED" };

function paramText(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return text.slice(0, longestParam);
}

function reason(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message.replace(/\.$/, "") : String(thrown);
}
