import { Tensor as OrtTensor } from "onnxruntime-node";
import { elementCount } from "../../shared/tensors/layout.ts";
import { emitOnnx } from "../../worker/engine/onnx/emitOnnx.ts";
import { openSession } from "../../worker/engine/onnx/session.ts";
import { type Sizes, sizeOf, type Tensor } from "../../worker/model/graph.ts";
import { type Program, toProgram } from "../../worker/model/program.ts";

/** Values of inputs and parameters by name. */
export type Feeds = Readonly<Record<string, Float32Array | Int32Array>>;

/** Runs a graph with onnxruntime; the function returned may be called many times. The caller releases. */
export const compileGraph = (outputs: readonly Tensor[], sizes: Sizes) => compileProgram(toProgram(outputs), sizes);

export async function compileProgram(program: Program, sizes: Sizes) {
  const names = program.outputs.map((_, index) => `output${index}`);
  const session = await openSession(emitOnnx(program, names), { threads: 1 });
  const shapes = new Map(
    program.steps.flatMap(({ op, shape }) =>
      op.kind === "input" || op.kind === "parameter"
        ? [[op.name, shape.map((dim) => sizeOf(dim, sizes))] as const]
        : [],
    ),
  );
  return {
    async run(feeds: Feeds): Promise<Float32Array[]> {
      const tensors: Record<string, OrtTensor> = {};
      for (const [name, shape] of shapes) {
        const data = feeds[name]!;
        if (data.length !== elementCount(shape)) throw new Error(`${name} wants ${elementCount(shape)} values`);
        tensors[name] =
          data instanceof Float32Array ? new OrtTensor("float32", data, shape) : new OrtTensor("int32", data, shape);
      }
      const results = await session.run(tensors);
      return names.map((name) => results[name]!.data as Float32Array);
    },
    release: () => session.release(),
  };
}
