import type { TrainingState } from "../../shared/checkpoint/trainingState.ts";

/** AdamW's settings for one step. */
export interface AdamWStep {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Step at which the moments were zero: 0, unless the state was taken over without them. */
  readonly startStep: number;
}

/**
 * Writes the state after one AdamW step (Loshchilov & Hutter, "Decoupled Weight Decay Regularization"; order of
 * operations as in torch.optim.AdamW) into `next`, leaving `state` as it is: until all workers agree on the step, the
 * old state must be there to go back to.
 * `gradient` is multiplied by `scale` (1 / tokens, and clipping) on the way. Arithmetic is float64, storage float32.
 */
export function adamWStep(
  state: TrainingState,
  next: Pick<TrainingState, "parameters" | "firstMoment" | "secondMoment">,
  gradient: Float32Array,
  scale: number,
  options: AdamWStep,
): void {
  const { beta1, beta2, epsilon, learningRate, startStep, weightDecay } = options;
  const step = state.step + 1 - startStep;
  const stepSize = learningRate / (1 - beta1 ** step);
  const correction = Math.sqrt(1 - beta2 ** step);
  const decay = 1 - learningRate * weightDecay;
  const { parameters, firstMoment, secondMoment } = state;
  for (let i = 0; i < gradient.length; i++) {
    const g = gradient[i]! * scale;
    const first = beta1 * firstMoment[i]! + (1 - beta1) * g;
    const second = beta2 * secondMoment[i]! + (1 - beta2) * g * g;
    next.firstMoment[i] = first;
    next.secondMoment[i] = second;
    next.parameters[i] = parameters[i]! * decay - (stepSize * first) / (Math.sqrt(second) / correction + epsilon);
  }
}

/** L2 norm of `values` times `scale`, summed in order in float64. */
export function l2Norm(values: Float32Array, scale: number): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i]! * scale) ** 2;
  return Math.sqrt(sum);
}

/** Factor that brings a gradient of norm `norm` down to `maxNorm` (torch's clip_grad_norm_); 1 for no clipping. */
export function clipFactor(norm: number, maxNorm: number): number {
  return maxNorm > 0 ? Math.min(1, maxNorm / (norm + 1e-6)) : 1;
}
