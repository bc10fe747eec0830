/** Figures of one step, as metrics.jsonl has them. */
export interface MeasuredStep {
  readonly step: number;
  /** Mean over workers: forward and backward of all slots of a worker. */
  readonly computeMs: number;
  /** The whole step. */
  readonly stepMs: number;
  /** Since the start of the run. */
  readonly inputTokens: number;
}

/** Steps at the start that are left out: caches are cold, memory is being taken. */
const coldSteps = 3;

/** What the steps of a run have shown. */
export interface MeasuredSpeed {
  /** Seconds that one worker computes per input token. */
  readonly secondsPerToken: number;
  /** Seconds of a step beside computing: exchange, waiting for the slowest worker, votes. */
  readonly overheadSeconds: number;
}

/** Medians over the steps of a run; undefined where too few were measured. */
export function measureSpeed(steps: readonly MeasuredStep[], worldSize: number): MeasuredSpeed | undefined {
  const rates: number[] = [];
  const overheads: number[] = [];
  for (let at = Math.max(1, Math.min(coldSteps, steps.length - 1)); at < steps.length; at++) {
    const { computeMs, inputTokens, step, stepMs } = steps[at]!;
    const tokens = (inputTokens - steps[at - 1]!.inputTokens) / worldSize;
    // A resume goes back in tokens, and a step between two coordinators was not measured as one.
    if (tokens <= 0 || step !== steps[at - 1]!.step + 1) continue;
    rates.push(computeMs / 1000 / tokens);
    overheads.push(Math.max(0, stepMs - computeMs) / 1000);
  }
  if (rates.length === 0) return undefined;
  return { secondsPerToken: median(rates), overheadSeconds: median(overheads) };
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
