import {
  type DataType,
  type Dim,
  type Operation,
  type Shape,
  sameShape,
  shapeError,
  type Tensor,
  withGradient,
} from "./graph.ts";

// Each function makes one node (or a few) and says how a gradient flows through it. Functions without a rule are
// the building blocks of rules and of the layers that bring a rule of their own.

export function input(name: string, shape: Shape, type: DataType = "float32"): Tensor {
  return { op: { kind: "input", name }, inputs: [], shape, type };
}

export function parameter(name: string, shape: Shape): Tensor {
  return { op: { kind: "parameter", name }, inputs: [], shape, type: "float32" };
}

export function scalar(value: number): Tensor {
  return { op: { kind: "scalar", value }, inputs: [], shape: [], type: "float32" };
}

export function add(a: Tensor, b: Tensor): Tensor {
  return withGradient(binary("add", a, b), {
    inputs: [a, b],
    apply: (gradient) => [sumTo(gradient, a.shape), sumTo(gradient, b.shape)],
  });
}

export function mul(a: Tensor, b: Tensor): Tensor {
  return withGradient(binary("mul", a, b), {
    inputs: [a, b],
    apply: (gradient) => [sumTo(mul(gradient, b), a.shape), sumTo(mul(gradient, a), b.shape)],
  });
}

/** a − b of the same shape, with a gradient, which `sub` has not. */
export function difference(a: Tensor, b: Tensor): Tensor {
  return withGradient(sub(a, b), { inputs: [a, b], apply: (gradient) => [gradient, neg(gradient)] });
}

/** x, through which no gradient flows. */
export function constant(x: Tensor): Tensor {
  return withGradient(x, { inputs: [], apply: () => [] });
}

export const sub = (a: Tensor, b: Tensor): Tensor => binary("sub", a, b);
export const neg = (x: Tensor): Tensor => float("neg", [x], x.shape);
export const exp = (x: Tensor): Tensor => float("exp", [x], x.shape);
export const sqrt = (x: Tensor): Tensor => float("sqrt", [x], x.shape);
export const reciprocal = (x: Tensor): Tensor => float("reciprocal", [x], x.shape);
export const erf = (x: Tensor): Tensor => float("erf", [x], x.shape);
export const sigmoid = (x: Tensor): Tensor => float("sigmoid", [x], x.shape);
export const logSoftmax = (x: Tensor): Tensor => float("logSoftmax", [x], x.shape);

export function relu(x: Tensor): Tensor {
  const y = float("relu", [x], x.shape);
  // y is never negative, so its sign is the slope, 0 at 0 as PyTorch has it.
  return withGradient(y, { inputs: [x], apply: (gradient) => [mul(gradient, float("sign", [y], x.shape))] });
}

/** Sum over one axis, which stays with size 1. */
export function sum(x: Tensor, ...axes: number[]): Tensor {
  const shape = x.shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
  return node({ kind: "sum", axes }, [x], shape);
}

export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly scale?: number;
}

/** scale · op(a) op(b), where op transposes the last two axes or does nothing. */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const { transposeA = false, transposeB = false, scale = 1 } = options;
  const rank = a.shape.length;
  const [m, k] = lastTwo(a.shape, transposeA);
  const [k2, n] = lastTwo(b.shape, transposeB);
  const batch = a.shape.slice(0, rank - 2);
  if (rank < 2 || k !== k2 || !sameShape(batch, b.shape.slice(0, -2))) throw shapeError("matmul", a.shape, b.shape);
  const product = node({ kind: "matmul", transposeA, transposeB, scale }, [a, b], [...batch, m, n]);
  return withGradient(product, {
    inputs: [a, b],
    apply: (gradient) => [
      transposeA
        ? matmul(b, gradient, { transposeA: transposeB, transposeB: true, scale })
        : matmul(gradient, b, { transposeB: !transposeB, scale }),
      transposeB
        ? matmul(gradient, a, { transposeA: true, transposeB: transposeA, scale })
        : matmul(a, gradient, { transposeA: !transposeA, scale }),
    ],
  });
}

/** Softmax over the last axis. */
export function softmax(x: Tensor): Tensor {
  const y = float("softmax", [x], x.shape);
  return withGradient(y, {
    inputs: [x],
    apply: (gradient) => [mul(y, sub(gradient, sum(mul(gradient, y), x.shape.length - 1)))],
  });
}

export function reshape(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  return withGradient(node({ kind: "reshape" }, [x], shape), {
    inputs: [x],
    apply: (gradient) => [reshape(gradient, x.shape)],
  });
}

export function transpose(x: Tensor, permutation: readonly number[]): Tensor {
  const shape = permutation.map((axis) => x.shape[axis]!);
  const inverse = permutation.map((_, axis) => permutation.indexOf(axis));
  return withGradient(node({ kind: "transpose", permutation }, [x], shape), {
    inputs: [x],
    apply: (gradient) => [transpose(gradient, inverse)],
  });
}

/** `length` elements of the last axis of x, from `start` on. */
export function slice(x: Tensor, start: number, length: number): Tensor {
  const before = x.shape.slice(0, -1);
  const width = x.shape.at(-1);
  if (typeof width !== "number" || start + length > width) throw shapeError("slice", x.shape);
  return withGradient(node({ kind: "slice", start, length }, [x], [...before, length]), {
    inputs: [x],
    apply: (gradient) => [pad(gradient, start, width - start - length)],
  });
}

function pad(x: Tensor, before: number, after: number): Tensor {
  const width = before + (x.shape.at(-1) as number) + after;
  return node({ kind: "pad", before, after }, [x], [...x.shape.slice(0, -1), width]);
}

/** Rotary positions: angles [S, R/2], and which row of them is whose, int32 [T]. */
export interface Rotary {
  readonly positions: Tensor;
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/**
 * Rotary position embedding of the first R elements of the heads of x [B, heads, S, D], halves paired as HuggingFace
 * pairs them.
 */
export function rope(x: Tensor, { positions, cos, sin }: Rotary): Tensor {
  const half = cos.shape[1];
  if (x.shape.length !== 4 || typeof half !== "number" || (x.shape[3] as number) < 2 * half) {
    throw shapeError("rope", x.shape, cos.shape);
  }
  return withGradient(node({ kind: "rope" }, [x, positions, cos, sin], x.shape), {
    inputs: [x],
    apply: (gradient) => [rope(gradient, { positions, cos, sin: neg(sin) })],
  });
}

/** Rows of table [R, C] by ids [N]: [N, C]. */
export function gatherRows(table: Tensor, ids: Tensor): Tensor {
  const [rows, columns] = table.shape;
  return withGradient(node({ kind: "gatherRows" }, [table, ids], [ids.shape[0]!, columns!]), {
    inputs: [table],
    apply: (gradient) => [node({ kind: "scatterRows" }, [gradient, ids], [rows!, columns!])],
  });
}

/** One element of each row of x [N, C]: [N, 1]. */
export function pick(x: Tensor, index: Tensor): Tensor {
  return node({ kind: "pick" }, [x, index], [x.shape[0]!, 1]);
}

/** x [N, C] with `update` [N, 1] added to one element of each row. */
export function addAt(x: Tensor, index: Tensor, update: Tensor): Tensor {
  return node({ kind: "addAt" }, [x, index, update], x.shape);
}

/** Undoes broadcasting: sums a gradient over the axes along which `shape` was repeated. */
export function sumTo(gradient: Tensor, shape: Shape): Tensor {
  const extra = gradient.shape.length - shape.length;
  const axes = gradient.shape.flatMap((dim, axis) => (axis < extra || shape[axis - extra] !== dim ? [axis] : []));
  return axes.length === 0 ? gradient : reshape(sum(gradient, ...axes), shape);
}

function node(op: Operation, inputs: readonly Tensor[], shape: Shape): Tensor {
  return { op, inputs, shape, type: "float32" };
}

type SimpleKind = Extract<
  Operation["kind"],
  "neg" | "exp" | "sqrt" | "reciprocal" | "sigmoid" | "erf" | "relu" | "sign" | "softmax" | "logSoftmax"
>;

function float(kind: SimpleKind, inputs: readonly Tensor[], shape: Shape): Tensor {
  return node({ kind }, inputs, shape);
}

function binary(kind: "add" | "sub" | "mul", a: Tensor, b: Tensor): Tensor {
  const rank = Math.max(a.shape.length, b.shape.length);
  const shape = Array.from({ length: rank }, (_, axis): Dim => {
    const left = a.shape[a.shape.length - rank + axis] ?? 1;
    const right = b.shape[b.shape.length - rank + axis] ?? 1;
    if (left !== right && left !== 1 && right !== 1) throw shapeError(kind, a.shape, b.shape);
    return left === 1 ? right : left;
  });
  return node({ kind }, [a, b], shape);
}

function lastTwo(shape: Shape, transposed: boolean): [Dim, Dim] {
  const [rows, columns] = [shape.at(-2)!, shape.at(-1)!];
  return transposed ? [columns, rows] : [rows, columns];
}
