import type { Execution } from "../../model/execution.ts";
import { buildModel } from "../../model/model.ts";
import type { Trainable } from "../../model/trainable.ts";
import { openWeights, readModelConfig } from "../../model/weights.ts";
import type { Engine } from "../engine.ts";
import { LayeredOnnxEngine } from "./layeredOnnxEngine.ts";
import { OnnxEngine } from "./onnxEngine.ts";
import { placeWeights } from "./placeWeights.ts";

/** The engine for a HuggingFace-format model directory. Throws CoordError MODEL_INVALID or ENGINE_FAILED. */
export async function openOnnxEngine(
  modelDirectory: string,
  trainable: Trainable,
  threads: number,
  execution: Execution = { kind: "whole" },
): Promise<Engine> {
  const { content, path } = await readModelConfig(modelDirectory);
  const model = buildModel(content, path, trainable);
  const weights = await openWeights(modelDirectory, model.frozen);
  if (execution.kind === "layered") {
    return LayeredOnnxEngine.create(model, weights, { threads, storage: execution.storage });
  }
  try {
    return await OnnxEngine.create(model, await placeWeights(model, weights), threads);
  } finally {
    await weights.close();
  }
}
