import { inputNames, unseen } from "./description.ts";
import { type Dim, type Tensor, timesDim, withGradient } from "./graph.ts";
import {
  add,
  addAt,
  constant,
  difference,
  exp,
  input,
  logSoftmax,
  matmul,
  mul,
  neg,
  pick,
  type Rotary,
  reciprocal,
  reshape,
  rope,
  scalar,
  sigmoid,
  softmax,
  sqrt,
  sub,
  sum,
  sumTo,
  transpose,
} from "./operations.ts";

/** RMSNorm (Zhang & Sennrich 2019): x / sqrt(mean(x²) + ε) · weight, over the last axis of x [T, H]. */
export function rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor {
  const last = x.shape.length - 1;
  const perFeature = scalar(1 / (weight.shape[0] as number));
  const mean = (value: Tensor) => mul(sum(value, last), perFeature);
  const inverse = reciprocal(sqrt(add(mean(mul(x, x)), scalar(epsilon)))); // [T, 1]
  const normalized = mul(x, inverse);
  return withGradient(mul(normalized, weight), {
    inputs: [x, weight],
    apply: (gradient) => {
      const scaled = mul(gradient, weight);
      return [
        mul(inverse, sub(scaled, mul(normalized, mean(mul(scaled, normalized))))),
        sumTo(mul(gradient, normalized), weight.shape),
      ];
    },
  });
}

/** RMSNorm of each of `heads` heads by itself: x [T, heads·D], weight [D]. */
export function headNorm(x: Tensor, weight: Tensor, heads: number, epsilon: number): Tensor {
  const headDim = weight.shape[0]!;
  return reshape(rmsNorm(reshape(x, ["T", heads, headDim]), weight, epsilon), x.shape);
}

/** LayerNorm (Ba et al. 2016): (x − mean) / √(variance + ε) · weight + bias, over the last axis of x [T, H]. */
export function layerNorm(x: Tensor, weight: Tensor | undefined, bias: Tensor | undefined, epsilon: number): Tensor {
  const last = x.shape.length - 1;
  const perFeature = scalar(1 / (x.shape[last] as number));
  const mean = (value: Tensor) => mul(sum(value, last), perFeature);
  const centered = sub(x, mean(x));
  const inverse = reciprocal(sqrt(add(mean(mul(centered, centered)), scalar(epsilon)))); // [T, 1]
  const normalized = withGradient(mul(centered, inverse), {
    inputs: [x],
    apply: (gradient) => [
      mul(inverse, sub(sub(gradient, mean(gradient)), mul(normalized, mean(mul(gradient, normalized))))),
    ],
  });
  const scaled = weight ? mul(normalized, weight) : normalized;
  return bias ? add(scaled, bias) : scaled;
}

/** SwiGLU's gate (Shazeer 2020): silu(gate) · up. */
export function swiGlu(gate: Tensor, up: Tensor): Tensor {
  const open = sigmoid(gate);
  const activated = mul(gate, open);
  return withGradient(mul(activated, up), {
    inputs: [gate, up],
    apply: (gradient) => [
      // silu'(x) = σ(x) + silu(x) · (1 − σ(x))
      mul(mul(gradient, up), add(open, sub(activated, mul(activated, open)))),
      mul(gradient, activated),
    ],
  });
}

/** Shapes of an attention layer and what it needs beside its input. */
export interface AttentionOptions {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  /** Rotary positions: as many elements of each head are turned as it has angles, twice. */
  readonly rotary?: Rotary;
  /** What scores are multiplied with; 1 / √headDim unless given. */
  readonly scale?: number;
  /** [B, 1, S, S]: zero where a query may see a key, very negative elsewhere. */
  readonly mask: Tensor;
}

/**
 * Causal grouped-query attention: query [T, heads·D], key and value [T, keyValueHeads·D]
 * → [T, heads·D]. The query heads of a group lie side by side in memory, so a group is one matrix product with its
 * key head, and nothing is repeated.
 */
export function attention(query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions): Tensor {
  const { heads, keyValueHeads, headDim, mask, rotary, scale = 1 / Math.sqrt(headDim) } = options;
  const turn = (x: Tensor) => (rotary ? rope(x, rotary) : x);
  const split = (x: Tensor, count: number) => transpose(reshape(x, ["B", "S", count, headDim]), [0, 2, 1, 3]);
  const rows: Dim = timesDim(heads / keyValueHeads, "S");
  const grouped = reshape(turn(split(query, heads)), ["B", keyValueHeads, rows, headDim]);
  const keys = turn(split(key, keyValueHeads));
  const scores = matmul(grouped, keys, { transposeB: true, scale });
  // [B, heads, query, key]
  const weights = softmax(add(reshape(scores, ["B", heads, "S", "S"]), mask));
  const mixed = matmul(reshape(weights, ["B", keyValueHeads, rows, "S"]), split(value, keyValueHeads));
  const merged = transpose(reshape(mixed, ["B", heads, "S", headDim]), [0, 2, 1, 3]);
  return reshape(merged, ["T", heads * headDim]);
}

/** Rotary positions of `rotated` elements of each head, as they are fed with each batch. */
export function rotaryInputs(rotated: number): Rotary {
  return {
    positions: input(inputNames.positions, ["T"], "int32"),
    cos: input(inputNames.cos, ["S", rotated / 2]),
    sin: input(inputNames.sin, ["S", rotated / 2]),
  };
}

/**
 * Who sees whom, [B, 1, S, S]: what `causal` [S, S] lets through, within a sample. Samples that are packed into one row
 * have segment numbers that differ, by less than 10⁴, so that the square of the difference still is a float32.
 */
export function attentionMask(causal: Tensor): Tensor {
  const segments = input(inputNames.segments, ["T"]);
  const apart = sub(reshape(segments, ["B", 1, "S", 1]), reshape(segments, ["B", 1, 1, "S"]));
  return add(causal, mul(scalar(unseen), mul(apart, apart)));
}

/** Negative log-likelihood, in nats, of the target of each row: logits [L, V], targets [L] → [L]. */
export function negativeLogLikelihood(logits: Tensor, targets: Tensor): Tensor {
  const logProbabilities = logSoftmax(logits);
  const rows = logits.shape[0]!;
  return withGradient(reshape(neg(pick(logProbabilities, targets)), [rows]), {
    inputs: [logits],
    apply: (gradient) => {
      const column = reshape(gradient, [rows, 1]);
      return [addAt(mul(exp(logProbabilities), column), targets, neg(column))];
    },
  });
}

/** What LoRA adds to a linear layer: scale · (x·mask) Aᵀ Bᵀ. */
export interface LowRank {
  /** [rank, in] */
  readonly down: Tensor;
  /** [out, rank] */
  readonly up: Tensor;
  readonly scale: number;
  /** Dropout: of the shape of x, zeros and 1/(1 − p). */
  readonly mask?: Tensor;
  /** [out]: the length of each output's weights, trained apart from their direction (DoRA). */
  readonly magnitude?: Tensor;
}

export interface LinearParts {
  /** [out, in], or [in, out] where it is transposed. */
  readonly weight: Tensor;
  readonly transposed?: boolean;
  readonly bias?: Tensor | undefined;
  readonly lowRank?: LowRank | undefined;
}

/** x Wᵀ (+ bias) (+ LoRA): x [T, in] → [T, out]. */
export function linear(x: Tensor, { weight, transposed = false, bias, lowRank }: LinearParts): Tensor {
  const plain = matmul(x, weight, { transposeB: !transposed });
  const withBias = (y: Tensor) => (bias ? add(y, bias) : y);
  if (!lowRank) return withBias(plain);
  const source = lowRank.mask ? mul(x, lowRank.mask) : x;
  const narrow = matmul(source, lowRank.down, { transposeB: true });
  const added = matmul(narrow, lowRank.up, { transposeB: true, scale: lowRank.scale });
  if (!lowRank.magnitude) return add(withBias(plain), added);
  const stretch = mul(lowRank.magnitude, reciprocal(constant(adaptedLengths(weight, transposed, lowRank)))); // [out]
  if (!lowRank.mask) return withBias(mul(add(plain, added), stretch));
  // Dropout is in front of all that DoRA changes, as in peft/tuners/lora/dora.py: W x + (stretch − 1) W x̃ + stretch · B A x̃.
  const dropped = matmul(source, weight, { transposeB: !transposed });
  return add(withBias(difference(plain, dropped)), mul(add(dropped, added), stretch));
}

/**
 * Length of each row of W + scale · B A, [out], without the product of B and A, which is as large as W:
 * |w|² + 2 · scale · (W Aᵀ) ∘ B + scale² · (B A Aᵀ) ∘ B, summed over each row.
 */
function adaptedLengths(weight: Tensor, transposed: boolean, { down, scale, up }: LowRank): Tensor {
  const out = up.shape[0]!;
  const perRow = (value: Tensor) => reshape(sum(value, 1), [out]);
  const squares = reshape(sum(mul(weight, weight), transposed ? 0 : 1), [out]);
  const across = mul(matmul(weight, down, { transposeA: transposed, transposeB: true, scale: 2 * scale }), up);
  const gram = matmul(down, down, { transposeB: true, scale: scale * scale }); // [rank, rank]
  return sqrt(add(squares, perRow(add(across, mul(matmul(up, gram), up)))));
}
