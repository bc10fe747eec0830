import { z } from "zod";
import { type Tensor, withGradient } from "./graph.ts";
import { add, erf, exp, mul, neg, relu, scalar, sigmoid, sub } from "./operations.ts";

/** Activation functions by the names that transformers gives them (activations.py, ACT2FN). */
const activations = {
  relu,
  gelu,
  gelu_new: geluTanh,
  gelu_fast: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  silu,
  swish: silu,
} as const satisfies Record<string, (x: Tensor) => Tensor>;

export type Activation = keyof typeof activations;

export const activationSchema = z.enum(Object.keys(activations) as [Activation, ...Activation[]]);

export function activate(name: Activation, x: Tensor): Tensor {
  return activations[name](x);
}

/** x · Φ(x) (Hendrycks & Gimpel 2016), where Φ is the normal distribution: (1 + erf(x / √2)) / 2. */
function gelu(x: Tensor): Tensor {
  const below = mul(scalar(0.5), add(scalar(1), erf(mul(x, scalar(Math.SQRT1_2)))));
  return withGradient(mul(x, below), {
    inputs: [x],
    apply: (gradient) => {
      const density = mul(scalar(1 / Math.sqrt(2 * Math.PI)), exp(mul(scalar(-0.5), mul(x, x))));
      return [mul(gradient, add(below, mul(x, density)))];
    },
  });
}

/** GELU's approximation by tanh, with (1 + tanh u) / 2 = σ(2u): x · σ(2·√(2/π)·(x + 0.044715·x³)). */
function geluTanh(x: Tensor): Tensor {
  const factor = 2 * Math.sqrt(2 / Math.PI);
  const square = mul(x, x);
  const open = sigmoid(mul(mul(scalar(factor), x), add(scalar(1), mul(scalar(0.044715), square))));
  return withGradient(mul(x, open), {
    inputs: [x],
    apply: (gradient) => {
      const slope = mul(scalar(factor), add(scalar(1), mul(scalar(3 * 0.044715), square)));
      return [mul(gradient, add(open, mul(mul(x, slope), sub(open, mul(open, open)))))];
    },
  });
}

function silu(x: Tensor): Tensor {
  const open = sigmoid(x);
  return withGradient(mul(x, open), {
    inputs: [x],
    apply: (gradient) => [mul(gradient, add(open, mul(mul(x, open), add(scalar(1), neg(open)))))],
  });
}
