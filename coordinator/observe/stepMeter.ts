/** Figures of one committed step. */
export interface StepFigures {
  readonly step: number;
  /** Mean per label token, in nats. */
  readonly loss: number;
  readonly learningRate: number;
  readonly gradientNorm: number;
  readonly epoch: number;
  readonly tokensPerSecond: number;
  readonly stepMs: number;
  readonly etaSeconds: number;
  /** Since the start of the run. */
  readonly inputTokens: number;
  /** Means over workers. */
  readonly computeMs: number;
  readonly reduceMs: number;
}

/** Steps over which rate and remaining time are averaged. */
const window = 20;

/** Turns commits into rates. Times come from a monotonic clock. */
export class StepMeter {
  readonly #recent: { atMs: number; inputTokens: number }[] = [];

  constructor(
    private readonly maxSteps: number,
    /** Tokens that earlier coordinators of the run have counted. */
    private inputTokens: number,
  ) {}

  /** Takes over a count of tokens. */
  count(inputTokens: number): void {
    this.inputTokens = inputTokens;
  }

  /** Marks the start of stepping, so that the first step's duration is known and pauses do not count. */
  mark(atMs: number): void {
    this.#recent.length = 0;
    this.#recent.push({ atMs, inputTokens: this.inputTokens });
  }

  commit(step: number, atMs: number, inputTokens: number) {
    const before = this.#recent.at(-1);
    this.inputTokens += inputTokens;
    this.#recent.push({ atMs, inputTokens: this.inputTokens });
    if (this.#recent.length > window + 1) this.#recent.shift();
    const first = this.#recent[0]!;
    const seconds = (atMs - first.atMs) / 1000;
    const steps = this.#recent.length - 1;
    return {
      stepMs: before ? atMs - before.atMs : 0,
      tokensPerSecond: seconds > 0 ? (this.inputTokens - first.inputTokens) / seconds : 0,
      etaSeconds: steps > 0 ? (seconds / steps) * (this.maxSteps - step) : 0,
      inputTokens: this.inputTokens,
    };
  }
}
