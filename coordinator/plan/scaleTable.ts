import { type PlanBasis, planRun, type RunPlan, type RunShape } from "./planRun.ts";

/** One size of the cluster, and what it brings. */
export interface ScaleRow {
  readonly plan: RunPlan;
  /** Times as fast as one worker, per sample; absent where no time is known. */
  readonly speedup?: number;
}

const nodeCounts = [1, 2, 4, 8];
const gpuCounts = [1, 2, 4, 8];

/** The same training on clusters of other sizes, the one asked for among them. Without fixed slots the batch grows along. */
export function scaleTable(shape: RunShape, basis: PlanBasis): ScaleRow[] {
  const single = secondsPerSample(planRun({ ...shape, nodes: 1, gpus: 1 }, basis));
  return withOwn(nodeCounts, shape.nodes).flatMap((nodes) =>
    withOwn(gpuCounts, shape.gpus).map((gpus) => {
      const plan = planRun({ ...shape, nodes, gpus }, basis);
      const own = secondsPerSample(plan);
      return { plan, ...(own === undefined || single === undefined ? {} : { speedup: single / own }) };
    }),
  );
}

function withOwn(usual: readonly number[], own: number): number[] {
  return [...new Set([...usual, own])].sort((a, b) => a - b);
}

/** Training alone: the number of held-out losses depends on the number of steps, not on the workers' speed. */
function secondsPerSample({ samples, steps, time }: RunPlan): number | undefined {
  return time === undefined ? undefined : (steps * time.stepSeconds) / samples;
}
