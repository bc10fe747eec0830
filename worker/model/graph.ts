import { CoordError } from "../../shared/errors.ts";

/** Sizes known at run time only: B batch, S sequence, T = B·S tokens, L label tokens. */
export type DimSymbol = "B" | "S" | "T" | "L";
export type Dim = number | DimSymbol | `${number}*${DimSymbol}`;
/** Sizes, outermost first. */
export type Shape = readonly Dim[];

/**
 * The operations that an engine must know. All float32, but for the int32 indices of the last five. Binary operations broadcast
 * as NumPy does.
 */
export type Operation =
  /** A value fed with each batch. */
  | { readonly kind: "input"; readonly name: string }
  /** A base weight or a trainable tensor. */
  | { readonly kind: "parameter"; readonly name: string }
  | { readonly kind: "scalar"; readonly value: number }
  | { readonly kind: "add" | "sub" | "mul" }
  | { readonly kind: "neg" | "exp" | "sqrt" | "reciprocal" | "sigmoid" | "erf" | "relu" }
  /** −1, 0 or 1. */
  | { readonly kind: "sign" }
  /** scale · op(a) op(b) over the last two dimensions; the others are equal. */
  | { readonly kind: "matmul"; readonly transposeA: boolean; readonly transposeB: boolean; readonly scale: number }
  /** Sum over axes, which stay with size 1. */
  | { readonly kind: "sum"; readonly axes: readonly number[] }
  /** Over the last axis. */
  | { readonly kind: "softmax" | "logSoftmax" }
  /** To the node's own shape. */
  | { readonly kind: "reshape" }
  | { readonly kind: "transpose"; readonly permutation: readonly number[] }
  /** `length` elements of the last axis, from `start` on. */
  | { readonly kind: "slice"; readonly start: number; readonly length: number }
  /** Zeros before and after along the last axis. */
  | { readonly kind: "pad"; readonly before: number; readonly after: number }
  /**
   * (x, positions [T], cos, sin): turns the halves of the first R elements of the last axis of x [B, heads, S, D] by the
   * angles in that row of [S, R/2] that `positions` names for each token; the others stay as they are.
   */
  | { readonly kind: "rope" }
  /** (table [R, C], ids [N]) → [N, C]. */
  | { readonly kind: "gatherRows" }
  /** (updates [N, C], ids [N]) → [R, C]: rows of equal id are added up, the others are zero. */
  | { readonly kind: "scatterRows" }
  /** (x [N, C], index [N]) → [N, 1]. */
  | { readonly kind: "pick" }
  /** (x [N, C], index [N], update [N, 1]) → [N, C]: one element of each row has its update added. */
  | { readonly kind: "addAt" };

export type DataType = "float32" | "int32";

/** A node of a graph. Tensors are plain values: a graph is whatever its outputs reach. */
export interface Tensor {
  readonly op: Operation;
  readonly inputs: readonly Tensor[];
  readonly shape: Shape;
  readonly type: DataType;
  /** How a gradient flows through it; absent where none does. */
  readonly gradient?: GradientRule;
}

/** Vector-Jacobian product: from the gradient of the output to those of `inputs`; undefined where there is none. */
export interface GradientRule {
  readonly inputs: readonly Tensor[];
  readonly apply: (gradient: Tensor) => readonly (Tensor | undefined)[];
}

/** The same value with a gradient rule of its own, which need not go through the nodes that compute it. */
export function withGradient(output: Tensor, gradient: GradientRule): Tensor {
  return { ...output, gradient };
}

/** Sizes bound for one batch. */
export type Sizes = Readonly<Record<DimSymbol, number>>;

/** A dimension as a number. */
export function sizeOf(dim: Dim, sizes: Sizes): number {
  const { factor, symbol } = factorOf(dim);
  return symbol === undefined ? factor : factor * sizes[symbol];
}

/** Splits a dimension into its number and its symbol. */
export function factorOf(dim: Dim): { factor: number; symbol?: DimSymbol } {
  if (typeof dim === "number") return { factor: dim };
  const [left, right] = dim.split("*");
  return right === undefined
    ? { factor: 1, symbol: left as DimSymbol }
    : { factor: Number(left), symbol: right as DimSymbol };
}

export function timesDim(times: number, dim: Dim): Dim {
  const { factor, symbol } = factorOf(dim);
  if (symbol === undefined) return times * factor;
  return times * factor === 1 ? symbol : `${times * factor}*${symbol}`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}

/** A defect in a model's description. */
export function shapeError(operation: string, ...shapes: Shape[]): CoordError {
  return new CoordError("INTERNAL", `${operation} cannot take ${shapes.map((shape) => `[${shape}]`).join(" and ")}.`);
}
