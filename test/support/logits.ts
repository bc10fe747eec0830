import { elementCount } from "../../shared/tensors/layout.ts";
import type { Batch } from "../../worker/engine/engine.ts";
import { batchInputs, positionTables } from "../../worker/model/batchInputs.ts";
import { buildModel } from "../../worker/model/model.ts";
import type { Trainable } from "../../worker/model/trainable.ts";
import { openWeights, readModelConfig } from "../../worker/model/weights.ts";
import { compileProgram } from "./evaluateGraph.ts";

/** The logits [label tokens, vocabulary] of a model directory: the graph for evaluation, cut off in front of its softmax. */
export async function logitsOf(
  directory: string,
  trainable: Trainable,
  parameters: Float32Array,
  batch: Batch,
): Promise<Float32Array> {
  const { content, path } = await readModelConfig(directory);
  const model = buildModel(content, path, trainable);
  const weights = await openWeights(directory, model.frozen);
  const feeds: Record<string, Float32Array | Int32Array> = {};
  for (const name of model.frozen.keys()) feeds[name] = await weights.readFloat32(name);
  await weights.close();
  for (const { name, offset, shape } of model.layout.tensors) {
    feeds[name] = parameters.subarray(offset, offset + elementCount(shape));
  }
  const inputs = batchInputs(model, batch, positionTables(model, batch.sequence));
  for (const [name, { data }] of inputs.values) feeds[name] = data;
  const { steps } = model.evaluation;
  const softmax = steps.find(({ op }) => op.kind === "logSoftmax")!;
  const program = { steps: steps.slice(0, softmax.inputs[0]! + 1), outputs: [softmax.inputs[0]!] };
  const graph = await compileProgram(program, inputs.sizes);
  const [logits] = await graph.run(feeds);
  await graph.release();
  return logits!;
}
