import { CoordError, toCoordError } from "../../../shared/errors.ts";
import type { Execution } from "../../model/execution.ts";
import type { Model } from "../../model/model.ts";
import { openModel } from "../../model/openModel.ts";
import type { Trainable } from "../../model/trainable.ts";
import { openWeights } from "../../model/weights.ts";
import type { Device } from "../device.ts";
import type { Engine } from "../engine.ts";
import { chooseProvider, cudaInstall } from "./chooseProvider.ts";
import { LayeredOnnxEngine } from "./layeredOnnxEngine.ts";
import { OnnxEngine, type OnnxEngineOptions } from "./onnxEngine.ts";
import { placeWeights } from "./placeWeights.ts";
import { providerFacts } from "./providerFacts.ts";

export interface OpenOnnxOptions {
  /** As one graph unless given. */
  readonly execution?: Execution;
  /** The CPU unless given. */
  readonly device?: Device;
  /** Gets lines on what was chosen and why, and on what the CPU has to take over. */
  readonly onNote?: (line: string) => void;
}

/**
 * The engine for a HuggingFace-format model directory. Throws CoordError MODEL_INVALID, or ENGINE_FAILED with the
 * provider's own error where the device asked for cannot be used.
 */
export async function openOnnxEngine(
  modelDirectory: string,
  trainable: Trainable,
  threads: number,
  { device = { kind: "cpu" }, execution = { kind: "whole" }, onNote = () => {} }: OpenOnnxOptions = {},
): Promise<Engine> {
  const model = await openModel(modelDirectory, trainable);
  const { candidates, passedOver } = chooseProvider(device, providerFacts());
  const reasons = [...passedOver];
  for (const provider of candidates) {
    try {
      const engine = await openOn(modelDirectory, model, execution, { onNote, provider, threads });
      const why = reasons.length === 0 ? "" : ` (${reasons.join("; ")})`;
      onNote(`onnx computes on ${provider}, as --device ${device.kind} asks${why}.`);
      return engine;
    } catch (thrown) {
      if (provider === "cpu" || toCoordError(thrown).code !== "ENGINE_FAILED") throw thrown;
      if (provider === candidates.at(-1)) throw refused(provider, thrown);
      reasons.push(`${provider}: ${(thrown as Error).message}`);
    }
  }
  throw new CoordError("INTERNAL", `No provider serves --device ${device.kind}.`);
}

async function openOn(
  modelDirectory: string,
  model: Model,
  execution: Execution,
  options: Required<OnnxEngineOptions>,
): Promise<Engine> {
  const weights = await openWeights(modelDirectory, model.frozen);
  if (execution.kind === "layered") {
    return LayeredOnnxEngine.create(model, weights, { ...options, storage: execution.storage });
  }
  try {
    return await OnnxEngine.create(model, await placeWeights(model, weights), options);
  } finally {
    await weights.close();
  }
}

function refused(provider: string, thrown: unknown): CoordError {
  const advice = provider === "cuda" ? `install its library with ${cudaInstall}, and CUDA 12; or ` : "";
  const message = `--device ${provider} cannot be used: ${(thrown as Error).message} What to do: ${advice}use --device auto or cpu.`;
  return new CoordError("ENGINE_FAILED", message, { cause: thrown });
}
