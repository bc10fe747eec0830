import type { Tensor, Tensor1D } from "@tensorflow/tfjs-core";
import { assertNever, CoordError } from "../../../shared/errors.ts";
import { type Sizes, sizeOf } from "../../model/graph.ts";
import type { Program, Step } from "../../model/program.ts";
import type { Tfjs } from "./loadTfjs.ts";

/** Walks a program with TensorFlow.js operations; each value is freed after its last use. */
export class ProgramRunner {
  readonly #tf: Tfjs;
  readonly #program: Program;
  /** Values whose last use each step is. */
  readonly #ends: readonly (readonly number[])[];

  constructor(tf: Tfjs, program: Program) {
    this.#tf = tf;
    this.#program = program;
    this.#ends = lastUses(program);
  }

  /** The values of the program's outputs. `feeds` has a tensor for each input and parameter, which stay the caller's. */
  run(feeds: ReadonlyMap<string, Tensor>, sizes: Sizes): Float32Array[] {
    const { outputs, steps } = this.#program;
    const owned = new Map<number, Tensor>();
    const values: Tensor[] = [];
    try {
      steps.forEach((step, at) => {
        const { op } = step;
        if (op.kind === "input" || op.kind === "parameter") {
          const fed = feeds.get(op.name);
          if (!fed) throw new CoordError("INTERNAL", `Nothing was fed for ${op.name}.`);
          values[at] = fed;
        } else {
          const inputs = step.inputs.map((source) => values[source]!);
          values[at] = this.#tf.tidy(() => compute(this.#tf, step, inputs, sizes));
          owned.set(at, values[at]);
        }
        for (const ended of this.#ends[at]!) {
          owned.get(ended)?.dispose();
          owned.delete(ended);
        }
      });
      return outputs.map((output) => values[output]!.dataSync<"float32">());
    } finally {
      for (const value of owned.values()) value.dispose();
    }
  }
}

/** For each step, the values that nothing needs after it. */
function lastUses({ outputs, steps }: Program): number[][] {
  const last = new Map<number, number>();
  steps.forEach(({ inputs }, at) => {
    last.set(at, at);
    for (const source of inputs) last.set(source, at);
  });
  for (const output of outputs) last.delete(output);
  const ends: number[][] = steps.map(() => []);
  for (const [value, at] of last) ends[at]!.push(value);
  return ends;
}

function compute(tf: Tfjs, { op, shape }: Step, inputs: readonly Tensor[], sizes: Sizes): Tensor {
  const [x, second, third, fourth] = inputs as [Tensor, Tensor, Tensor, Tensor];
  const target = () => shape.map((dim) => sizeOf(dim, sizes));
  switch (op.kind) {
    case "input":
    case "parameter":
      throw new CoordError("INTERNAL", `${op.name} is fed, not computed.`);
    case "scalar":
      return tf.scalar(op.value);
    case "add":
    case "sub":
    case "mul":
      return tf[op.kind](x, second);
    case "neg":
    case "exp":
    case "sqrt":
    case "reciprocal":
    case "sigmoid":
    case "erf":
    case "relu":
    case "sign":
    case "softmax":
    case "logSoftmax":
      return tf[op.kind](x);
    case "matmul": {
      const product = tf.matMul(x, second, op.transposeA, op.transposeB);
      return op.scale === 1 ? product : tf.mul(product, op.scale);
    }
    case "sum":
      return tf.sum(x, [...op.axes], true);
    case "reshape":
      return tf.reshape(x, target());
    case "transpose":
      return tf.transpose(x, [...op.permutation]);
    case "slice":
      return lastAxis(tf, x, op.start, op.length);
    case "pad":
      return tf.pad(x, [...x.shape.slice(1).map((): [number, number] => [0, 0]), [op.before, op.after]]);
    case "rope":
      return rope(tf, x, { positions: second, cos: third, sin: fourth });
    case "gatherRows":
      return tf.gather(x, second as Tensor1D);
    case "scatterRows":
      return tf.scatterND(tf.expandDims(second, 1), x, target());
    case "pick":
      return tf.expandDims(tf.gatherND(x, cells(tf, second)), 1);
    case "addAt":
      return tf.add(x, tf.scatterND(cells(tf, second), tf.squeeze(third, [1]), x.shape));
    default:
      return assertNever(op);
  }
}

function lastAxis(tf: Tfjs, x: Tensor, start: number, length: number): Tensor {
  const before = x.shape.slice(0, -1);
  return tf.slice(x, [...before.map(() => 0), start], [...before, length]);
}

/** [N] → [N, 2]: the row and the column that it names. */
function cells(tf: Tfjs, columns: Tensor): Tensor {
  return tf.stack([tf.range(0, columns.shape[0]!, 1, "int32"), columns], 1);
}

/** Turns the halves of the first R elements of x [B, heads, S, D]; positions [B·S], cos and sin [S, R/2]. */
function rope(tf: Tfjs, x: Tensor, angles: { positions: Tensor; cos: Tensor; sin: Tensor }): Tensor {
  const [batch, , sequence, width] = x.shape as [number, number, number, number];
  const half = angles.cos.shape[1]!;
  const table = (values: Tensor) =>
    tf.reshape(tf.gather(values, angles.positions as Tensor1D), [batch, 1, sequence, half]);
  const [cos, sin] = [table(angles.cos), table(angles.sin)];
  const first = lastAxis(tf, x, 0, half);
  const last = lastAxis(tf, x, half, half);
  const turned = [tf.sub(tf.mul(first, cos), tf.mul(last, sin)), tf.add(tf.mul(last, cos), tf.mul(first, sin))];
  return tf.concat(2 * half < width ? [...turned, lastAxis(tf, x, 2 * half, width - 2 * half)] : turned, 3);
}
