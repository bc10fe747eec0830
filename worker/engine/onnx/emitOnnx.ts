import { create, toBinary } from "@bufbuild/protobuf";
import { assertNever, CoordError } from "../../../shared/errors.ts";
import {
  ModelProtoSchema,
  type NodeProto,
  type TensorProto,
  TensorProto_DataType,
  type ValueInfoProto,
} from "../../../shared/gen/onnx/onnx_pb.ts";
import { type Dim, factorOf, type Shape } from "../../model/graph.ts";
import type { Program, Step } from "../../model/program.ts";
import {
  type Attribute,
  contributed,
  type ExternalData,
  externalTensorProto,
  floatScalarProto,
  int64VectorProto,
  nodeProto,
  valueInfoProto,
} from "./messages.ts";

/** ONNX 1.13's operators, the first set whose Scatter operators can add. */
const opset = 18n;
const irVersion = 8n;

/**
 * Writes a program as an ONNX model. Parameters in `external` become initializers that the runtime maps from their
 * file; all others are inputs, fed at each run. `outputNames` go with the program's outputs.
 */
export function emitOnnx(
  program: Program,
  outputNames: readonly string[],
  external: ReadonlyMap<string, ExternalData> = new Map(),
): Uint8Array {
  const emitter = new Emitter(program, external);
  program.outputs.forEach((index, output) => {
    emitter.output(index, outputNames[output]!);
  });
  const model = create(ModelProtoSchema, {
    irVersion,
    producerName: "coord",
    opsetImport: [
      { domain: "", version: opset },
      { domain: contributed, version: 1n },
    ],
    graph: {
      name: "coord",
      node: emitter.nodes,
      initializer: [...emitter.initializers.values()],
      input: emitter.inputs,
      output: emitter.outputs,
    },
  });
  return toBinary(ModelProtoSchema, model);
}

class Emitter {
  readonly nodes: NodeProto[] = [];
  readonly initializers = new Map<string, TensorProto>();
  readonly inputs: ValueInfoProto[] = [];
  readonly outputs: ValueInfoProto[] = [];
  readonly #steps: readonly Step[];
  readonly #names: string[] = [];
  readonly #helpers = new Set<string>();

  constructor(program: Program, external: ReadonlyMap<string, ExternalData>) {
    this.#steps = program.steps;
    // Leaves first: sizes are read from inputs, wherever they are used.
    program.steps.forEach((step, index) => {
      this.#names[index] = this.#leaf(step, external) ?? `v${index}`;
    });
    program.steps.forEach((step, index) => {
      this.#emit(step, this.#names[index]!);
    });
  }

  output(index: number, name: string): void {
    const { shape, type } = this.#steps[index]!;
    this.nodes.push(nodeProto("Identity", [this.#names[index]!], name));
    this.outputs.push(valueInfoProto(name, shape, type));
  }

  #leaf({ op, shape, type }: Step, external: ReadonlyMap<string, ExternalData>): string | undefined {
    if (op.kind === "scalar")
      return this.#initializer(`scalar:${op.value}`, (name) => floatScalarProto(name, op.value));
    if (op.kind !== "input" && op.kind !== "parameter") return undefined;
    const data = external.get(op.name);
    if (data) return this.#initializer(op.name, (name) => externalTensorProto(name, shape as readonly number[], data));
    this.inputs.push(valueInfoProto(op.name, shape, type));
    return op.name;
  }

  #emit(step: Step, output: string): void {
    const { op, shape } = step;
    const names = step.inputs.map((index) => this.#names[index]!);
    const [x = "", second = "", third = "", fourth = ""] = names;
    const push = (
      operator: string,
      inputs: readonly string[],
      attributes?: Record<string, Attribute>,
      domain?: string,
    ) => this.nodes.push(nodeProto(operator, inputs, output, attributes, domain));
    switch (op.kind) {
      case "input":
      case "parameter":
      case "scalar":
        return;
      case "add":
      case "sub":
      case "mul":
      case "neg":
      case "exp":
      case "sqrt":
      case "reciprocal":
      case "sigmoid":
      case "erf":
      case "relu":
      case "sign":
        push(elementwise[op.kind], names);
        return;
      case "matmul": {
        // Both read their operands transposed in place, so no weight is ever held twice.
        const transA = op.transposeA ? 1n : 0n;
        const transB = op.transposeB ? 1n : 0n;
        if (shape.length === 2) push("Gemm", names, { transA, transB, alpha: op.scale });
        else push("FusedMatMul", names, { transA, transB, alpha: op.scale }, contributed);
        return;
      }
      case "sum":
        push("ReduceSum", [x, this.#int64(op.axes)], { keepdims: 1n });
        return;
      case "softmax":
        push("Softmax", [x], { axis: -1n });
        return;
      case "logSoftmax":
        push("LogSoftmax", [x], { axis: -1n });
        return;
      case "reshape":
        push("Reshape", [x, this.#targetShape(this.#steps[step.inputs[0]!]!.shape, shape)]);
        return;
      case "transpose":
        push("Transpose", [x], { perm: op.permutation.map(BigInt) });
        return;
      case "slice": {
        const bounds = [[op.start], [op.start + op.length], [-1]].map((values) => this.#int64(values));
        push("Slice", [x, ...bounds]);
        return;
      }
      case "pad":
        push("Pad", [x, this.#int64([op.before, op.after]), "", this.#int64([-1])]);
        return;
      case "rope": {
        const [heads, , width] = shape.slice(1) as [number, unknown, number];
        const rotated = 2 * (this.#steps[step.inputs[2]!]!.shape[1] as number);
        const wide = this.#helper(`int64:${second}`, "Cast", () => [second], toInt64);
        const positions = this.#helper(`rows:${second}`, "Reshape", () => [wide, this.#sizes([-1, "S"])]);
        // The runtime wants the number of heads with a part, and neither where all is turned.
        const part = rotated < width ? { rotary_embedding_dim: BigInt(rotated), num_heads: BigInt(heads) } : {};
        push("RotaryEmbedding", [x, positions, third, fourth], part, contributed);
        return;
      }
      case "gatherRows":
        push("Gather", names, { axis: 0n });
        return;
      case "scatterRows": {
        const zeros = this.#helper(`zeros:${shape}`, "ConstantOfShape", () => [this.#sizes(shape)]);
        const ids = this.#helper(`int64:${second}`, "Cast", () => [second], toInt64);
        push("ScatterND", [zeros, this.#column(ids), x], { reduction: "add" });
        return;
      }
      case "pick":
        push("GatherElements", [x, this.#column(second)], { axis: 1n });
        return;
      case "addAt":
        push("ScatterElements", [x, this.#column(second), third], { axis: 1n, reduction: "add" });
        return;
      default:
        assertNever(op);
    }
  }

  /** [N] → [N, 1]. */
  #column(name: string): string {
    return this.#helper(`column:${name}`, "Reshape", () => [name, this.#int64([-1, 1])]);
  }

  /** Reshape's second input: 0 keeps the size of the same axis, and one size may be left to be found out (-1). */
  #targetShape(from: Shape, to: Shape): string {
    const sizes = to.map((dim, axis) => (typeof dim === "number" ? dim : dim === from[axis] ? 0 : dim));
    const open = sizes.filter((size) => typeof size !== "number");
    if (open.length === 0) return this.#int64(sizes as number[]);
    const free = open.includes("B") ? "B" : open[0];
    return this.#sizes(sizes.map((size) => (size === free ? -1 : size)));
  }

  /** A vector of sizes, some of them read from inputs. */
  #sizes(dims: readonly Dim[]): string {
    if (dims.every((dim) => typeof dim === "number")) return this.#int64(dims);
    return this.#helper(
      `sizes:${dims}`,
      "Concat",
      () => dims.map((dim) => (typeof dim === "number" ? this.#int64([dim]) : this.#size(dim))),
      { axis: 0n },
    );
  }

  #size(dim: Dim): string {
    const { factor, symbol } = factorOf(dim);
    const source = this.#steps.findIndex(({ op, shape }) => op.kind === "input" && shape.includes(symbol!));
    if (factor !== 1 || source < 0) throw new CoordError("INTERNAL", `The size ${dim} cannot be read from an input.`);
    const start = this.#steps[source]!.shape.indexOf(symbol!);
    return this.#helper(`size:${symbol}`, "Shape", () => [this.#names[source]!], {
      start: BigInt(start),
      end: BigInt(start + 1),
    });
  }

  #int64(values: readonly number[]): string {
    return this.#initializer(`int64:${values}`, (name) => int64VectorProto(name, values));
  }

  #initializer(name: string, make: (name: string) => TensorProto): string {
    if (!this.initializers.has(name)) this.initializers.set(name, make(name));
    return name;
  }

  /** A node that several others share. */
  #helper(
    name: string,
    operator: string,
    inputs: () => readonly string[],
    attributes?: Record<string, Attribute>,
  ): string {
    if (!this.#helpers.has(name)) {
      this.#helpers.add(name);
      this.nodes.push(nodeProto(operator, inputs(), name, attributes));
    }
    return name;
  }
}

const toInt64 = { to: BigInt(TensorProto_DataType.INT64) };

const elementwise = {
  add: "Add",
  sub: "Sub",
  mul: "Mul",
  neg: "Neg",
  exp: "Exp",
  sqrt: "Sqrt",
  reciprocal: "Reciprocal",
  sigmoid: "Sigmoid",
  erf: "Erf",
  relu: "Relu",
  sign: "Sign",
} as const;
