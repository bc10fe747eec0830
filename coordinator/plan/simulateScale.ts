import type { PlanBasis, RunShape } from "./planRun.ts";
import { type Simulation, simulateSteps } from "./simulateSteps.ts";

/** A cluster of some size, simulated. */
export interface SimulatedScale {
  readonly nodes: number;
  readonly gpus: number;
  /** Failures and restarts included. */
  readonly samplesPerSecond: number;
  readonly simulation: Simulation;
}

const nodeCounts = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/** Workers of one kind differ by about this share from step to step on the hosts measured so far. */
const jitter = 0.05;

/** From the loss of a node to the next step: noticing, starting workers again, loading the model. */
const restartSeconds = 60;

/** Enough steps to meet failures; those that are simulated worker by worker, fewer the more workers there are. */
const steps = { all: 50_000, least: 20, most: 2000, workerSteps: 200_000 } as const;

/** Weak scaling of a run: one slot per worker, whatever the size. Empty where the time of a slot is not known. */
export function simulateScale(shape: RunShape, basis: PlanBasis, mtbfHours: number): SimulatedScale[] {
  const { networkGbps, overheadSeconds = 0, slotSeconds, trainableElements = 0 } = basis;
  if (slotSeconds === undefined) return [];
  return nodeCounts.map((nodes) => {
    const { gpus } = shape;
    const distinct = Math.round(steps.workerSteps / (nodes * gpus));
    const simulated = {
      ...{ nodes, gpus, jitter, restartSeconds, networkGbps, overheadSeconds, computeSeconds: slotSeconds, seed: 1 },
      gradientBytes: 4 * trainableElements,
      nodeMtbfSeconds: mtbfHours * 3600,
      steps: steps.all,
      distinctSteps: Math.min(steps.most, Math.max(steps.least, distinct)),
    };
    const simulation = simulateSteps(simulated);
    const samples = simulated.steps * nodes * gpus * shape.microBatch * shape.accumulation;
    return { nodes, gpus, samplesPerSecond: samples / simulation.totalSeconds, simulation };
  });
}
