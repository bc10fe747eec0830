import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { RunEvent } from "../eventLog.ts";
import type { StatusDocument } from "../renderStatus.ts";

const states = ["preparing", "forming", "training", "stopping", "finished", "stopped", "failed"];
const parts = { dataMs: "data", computeMs: "compute", waitMs: "wait", reduceMs: "reduce", updateMs: "update" } as const;

/**
 * A run's figures for Prometheus: base units, `_total` for what only grows (https://prometheus.io/docs/practices/naming).
 * Counters and histograms count from the start of this coordinator, as Prometheus expects of a process.
 */
export class RunMetrics {
  readonly #registry = new Registry();
  readonly #status: () => StatusDocument;
  readonly #steps = this.#counter("coord_steps_total", "Optimizer steps committed, repeated ones included.");
  readonly #tokens = this.#counter("coord_input_tokens_total", "Input tokens of committed steps.");
  readonly #checkpoints = this.#counter("coord_checkpoints_total", "Checkpoints written.");
  readonly #errors = this.#counter("coord_warnings_total", "Warnings and errors among the run's events.");
  readonly #stepSeconds = new Histogram({
    name: "coord_step_duration_seconds",
    help: "Duration of committed steps.",
    buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300],
    registers: [this.#registry],
  });
  readonly #saveSeconds = new Histogram({
    name: "coord_checkpoint_write_duration_seconds",
    help: "Time that writing a checkpoint took.",
    buckets: [0.03, 0.1, 0.3, 1, 3, 10, 30, 100],
    registers: [this.#registry],
  });
  readonly #evaluationLoss = this.#gauge(
    "coord_evaluation_loss",
    "Newest held-out loss, mean per label token in nats.",
  );
  readonly #gradientNorm = this.#gauge("coord_gradient_norm", "L2 norm of the newest step's gradient before clipping.");
  readonly #inputTokensSeen = { before: undefined as number | undefined };

  constructor(runId: string, status: () => StatusDocument) {
    this.#status = status;
    this.#registry.setDefaultLabels({ run: runId });
    const read = (name: string, help: string, value: (status: StatusDocument) => number | null) =>
      this.#gauge(name, help, (gauge) => {
        const now = value(this.#status());
        if (now !== null) gauge.set(now);
      });
    read("coord_step", "Steps committed.", ({ step }) => step);
    read("coord_max_steps", "Steps until the end; 0 while not known.", ({ maxSteps }) => maxSteps);
    read("coord_generation", "Membership epoch.", ({ generation }) => generation);
    read("coord_loss", "Loss of the newest step, mean per label token in nats.", ({ loss }) => loss);
    read("coord_learning_rate", "Learning rate of the newest step.", ({ learningRate }) => learningRate);
    read("coord_tokens_per_second", "Input tokens per second over the last steps.", (now) => now.tokensPerSecond);
    read("coord_remaining_seconds", "Estimated time until the end.", ({ etaSeconds }) => etaSeconds);
    read("coord_wanted_workers", "Workers that the run wants.", ({ worldSize }) => worldSize);
    this.#perWorker();
  }

  /** Counts one event. */
  add({ data, kind }: RunEvent): void {
    const number = (field: string) => (typeof data[field] === "number" ? data[field] : undefined);
    switch (kind) {
      case "step": {
        this.#steps.inc();
        this.#stepSeconds.observe((number("stepMs") ?? 0) / 1000);
        this.#gradientNorm.set(number("gradientNorm") ?? Number.NaN);
        const seen = number("inputTokens") ?? 0;
        this.#tokens.inc(Math.max(0, seen - (this.#inputTokensSeen.before ?? seen)));
        this.#inputTokensSeen.before = seen;
        break;
      }
      case "evaluation":
        this.#evaluationLoss.set(number("loss") ?? Number.NaN);
        break;
      case "checkpoint":
        this.#checkpoints.inc();
        this.#saveSeconds.observe((number("tookMs") ?? 0) / 1000);
        break;
      case "warning":
      case "error":
        this.#errors.inc();
        break;
    }
  }

  async text(): Promise<{ type: string; body: string }> {
    return { type: this.#registry.contentType, body: await this.#registry.metrics() };
  }

  #perWorker(): void {
    const workers = () => this.#status().workers;
    const place = ({ localRank, node }: StatusDocument["workers"][number]) => ({
      node: String(node),
      worker: String(localRank),
    });
    this.#gauge(
      "coord_run_state",
      "1 for the state that the run is in.",
      (gauge) => {
        const { state } = this.#status();
        for (const name of states) gauge.set({ state: name }, name === state ? 1 : 0);
      },
      ["state"],
    );
    this.#gauge(
      "coord_workers",
      "Workers by what they are doing.",
      (gauge) => {
        gauge.reset();
        for (const { state } of workers()) gauge.inc({ state });
      },
      ["state"],
    );
    const labels = ["node", "worker"];
    this.#gauge(
      "coord_worker_resident_memory_bytes",
      "Resident memory of a worker.",
      (gauge) => {
        gauge.reset();
        for (const worker of workers()) gauge.set(place(worker), worker.residentBytes);
      },
      labels,
    );
    this.#gauge(
      "coord_worker_restarts",
      "Times that a worker's place was started again.",
      (gauge) => {
        gauge.reset();
        for (const worker of workers()) gauge.set(place(worker), worker.restarts);
      },
      labels,
    );
    this.#gauge(
      "coord_worker_straggling",
      "1 for a worker that keeps the others waiting.",
      (gauge) => {
        gauge.reset();
        for (const worker of workers()) gauge.set(place(worker), worker.straggling === null ? 0 : 1);
      },
      labels,
    );
    this.#gauge(
      "coord_worker_step_seconds",
      "Where the time of a worker's steps goes, mean of the last.",
      (gauge) => {
        gauge.reset();
        for (const worker of workers()) {
          for (const [field, part] of Object.entries(parts)) {
            const ms = worker.times?.[field as keyof typeof parts];
            if (ms !== undefined) gauge.set({ ...place(worker), part }, ms / 1000);
          }
        }
      },
      [...labels, "part"],
    );
  }

  #counter(name: string, help: string): Counter {
    return new Counter({ name, help, registers: [this.#registry] });
  }

  #gauge(name: string, help: string, collect?: (gauge: Gauge) => void, labelNames: readonly string[] = []): Gauge {
    return new Gauge({
      name,
      help,
      labelNames: [...labelNames],
      registers: [this.#registry],
      ...(collect
        ? {
            collect: function collectNow(this: Gauge) {
              collect(this);
            },
          }
        : {}),
    });
  }
}
