import { describe, expect, it } from "vitest";
import { adamWStep, clipFactor, l2Norm } from "../../../../worker/train/optimizer.ts";

const layout = { tensors: [], elements: 3 };
const vector = (...values: number[]) => Float32Array.from(values);
const options = { learningRate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, startStep: 0 };

describe("adamWStep", () => {
  it("follows the algorithm as the paper writes it over three steps", () => {
    const gradients = [vector(0.1, -0.2, 0), vector(0.3, 0.4, -1), vector(-0.5, 0, 2)];
    let state = {
      step: 0,
      layout,
      parameters: vector(1, -2, 0.5),
      firstMoment: vector(0, 0, 0),
      secondMoment: vector(0, 0, 0),
    };
    for (const gradient of gradients) {
      const next = {
        step: state.step + 1,
        layout,
        parameters: vector(0, 0, 0),
        firstMoment: vector(0, 0, 0),
        secondMoment: vector(0, 0, 0),
      };
      adamWStep(state, next, gradient, 1, options);
      state = next;
    }
    const reference = referenceAdamW([1, -2, 0.5], gradients);
    for (let i = 0; i < 3; i++) expect(state.parameters[i]).toBeCloseTo(reference[i]!, 6);
  });

  it("corrects moments that were zero at a later step as it does those that were zero at the first", () => {
    const take = (step: number, startStep: number) => {
      const zeros = { firstMoment: vector(0, 0, 0), secondMoment: vector(0, 0, 0) };
      const next = { parameters: vector(0, 0, 0), firstMoment: vector(0, 0, 0), secondMoment: vector(0, 0, 0) };
      const state = { step, layout, parameters: vector(1, -2, 0.5), ...zeros };
      adamWStep(state, next, vector(0.1, -0.2, 0.3), 1, { ...options, startStep });
      return next;
    };
    expect(take(500, 500)).toEqual(take(0, 0));
    expect(take(500, 0)).not.toEqual(take(0, 0));
  });

  it("leaves the old state as it was", () => {
    const state = {
      step: 0,
      layout,
      parameters: vector(1, 2, 3),
      firstMoment: vector(0, 0, 0),
      secondMoment: vector(0, 0, 0),
    };
    const next = { parameters: vector(0, 0, 0), firstMoment: vector(0, 0, 0), secondMoment: vector(0, 0, 0) };
    adamWStep(state, next, vector(1, 1, 1), 1, options);
    expect([...state.parameters]).toEqual([1, 2, 3]);
    expect([...state.secondMoment]).toEqual([0, 0, 0]);
    expect(next.parameters[0]).toBeLessThan(1);
  });
});

/** The update as the paper writes it (Algorithm 2), with bias-corrected moments spelled out. */
function referenceAdamW(start: number[], gradients: readonly Float32Array[]): number[] {
  return start.map((initial, i) => {
    let [p, m, v] = [initial, 0, 0];
    gradients.forEach((gradient, index) => {
      const t = index + 1;
      const g = gradient[i]!;
      m = options.beta1 * m + (1 - options.beta1) * g;
      v = options.beta2 * v + (1 - options.beta2) * g ** 2;
      const mHat = m / (1 - options.beta1 ** t);
      const vHat = v / (1 - options.beta2 ** t);
      p -= options.learningRate * (mHat / (Math.sqrt(vHat) + options.epsilon) + options.weightDecay * p);
    });
    return p;
  });
}

describe("clipFactor", () => {
  it("brings a long gradient down to the limit and leaves a short one alone", () => {
    const norm = l2Norm(vector(3, 4, 0), 2);
    expect(norm).toBe(10);
    expect(norm * clipFactor(norm, 1)).toBeCloseTo(1, 5);
    expect(clipFactor(0.5, 1)).toBe(1);
    expect(clipFactor(100, 0)).toBe(1);
  });
});
