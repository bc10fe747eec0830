import { type RandomKey, randomKey, randomNormal, randomUnit } from "../../shared/rng.ts";

/** What a simulated run is made of. Seconds and bytes. */
export interface SimulationBasis {
  readonly nodes: number;
  /** Workers per node. */
  readonly gpus: number;
  /** Forward and backward passes of one worker per step. */
  readonly computeSeconds: number;
  /** Standard deviation of that as a share of its mean: how unevenly workers run. */
  readonly jitter: number;
  /** Votes, update and everything else of a step that does not grow with the number of workers. */
  readonly overheadSeconds: number;
  readonly gradientBytes: number;
  /** The coordinator's link in each direction, 10^9 bits per second. */
  readonly networkGbps: number;
  /** Mean time between failures of one node; absent for none. */
  readonly nodeMtbfSeconds?: number;
  /** From a failure to the first step after it. */
  readonly restartSeconds: number;
  readonly steps: number;
  /** Steps that are simulated worker by worker; further ones take their durations again in turn (default: all). */
  readonly distinctSteps?: number;
  readonly seed: number;
}

export interface Simulation {
  /** Mean duration of a step that was kept. */
  readonly stepSeconds: number;
  readonly totalSeconds: number;
  /** Share of the time in steps that were kept. */
  readonly goodput: number;
  /** Share of a kept step in which the median worker waits for others, for the link or for the sum. */
  readonly waitShare: number;
  readonly failures: number;
}

/**
 * Simulates steps event by event: workers finish at their own times, their gradients queue for the coordinator's link,
 * the sum leaves when the last has come, and a node that fails takes the step in work with it. The same seed gives the
 * same figures.
 */
export function simulateSteps(basis: SimulationBasis): Simulation {
  const { computeSeconds, gpus, jitter, nodeMtbfSeconds, nodes, restartSeconds, seed, steps } = basis;
  const workers = nodes * gpus;
  const failureKey = randomKey(seed, "failures");
  // Failures of independent nodes come together as one Poisson process.
  const meanBetween = nodeMtbfSeconds === undefined ? Number.POSITIVE_INFINITY : nodeMtbfSeconds / nodes;
  const nextFailure = (from: number, count: number) => from - Math.log(1 - randomUnit(failureKey, count)) * meanBetween;
  let now = 0;
  let kept = 0;
  let waited = 0;
  let failures = 0;
  let failsAt = nextFailure(0, 0);
  const distinct = Math.min(steps, basis.distinctSteps ?? steps);
  const simulated = Array.from({ length: distinct }, (_, step) => {
    const key = randomKey(seed, step);
    const times = Array.from({ length: workers }, (_, worker) => computeSeconds * logNormal(key, worker, jitter));
    const duration = stepDuration(times, basis);
    return { duration, waiting: duration - times[Math.floor(workers / 2)]! };
  });
  for (let step = 0; step < steps; ) {
    const { duration, waiting } = simulated[step % distinct]!;
    if (now + duration > failsAt) {
      // What was done of the step is lost with the node.
      now = failsAt + restartSeconds;
      failures++;
      failsAt = nextFailure(now, failures);
      continue;
    }
    now += duration;
    kept += duration;
    waited += waiting;
    step++;
  }
  return {
    stepSeconds: kept / steps,
    totalSeconds: now,
    goodput: kept / now,
    waitShare: waited / kept,
    failures,
  };
}

/** One step; sorts the times. On a single host gradients do not meet the network. */
function stepDuration(
  times: number[],
  { gradientBytes, networkGbps, nodes, overheadSeconds }: SimulationBasis,
): number {
  const transfer = nodes === 1 ? 0 : (gradientBytes * 8) / (networkGbps * 1e9);
  let free = 0;
  for (const ready of times.sort((a, b) => a - b)) free = Math.max(free, ready) + transfer;
  return free + times.length * transfer + overheadSeconds;
}

/** Mean 1 and the given coefficient of variation. */
function logNormal(key: RandomKey, counter: number, variation: number): number {
  const variance = Math.log(1 + variation * variation);
  return Math.exp(randomNormal(key, counter) * Math.sqrt(variance) - variance / 2);
}
