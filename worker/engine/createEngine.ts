import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError } from "../../shared/errors.ts";
import { executionOf } from "../model/execution.ts";
import { loraOf } from "../model/trainable.ts";
import type { Engine } from "./engine.ts";
import { EngineHost } from "./engineHost.ts";

export interface CreateEngineOptions {
  /** HuggingFace-format model directory. */
  readonly modelDirectory: string;
  /** Compute threads; 0 counts as 1. */
  readonly threads: number;
}

/**
 * Starts the engine that a run asks for. Throws CoordError CONFIG_INVALID for an engine or device that is not there,
 * and MODEL_INVALID for a model that cannot be trained.
 */
export async function createEngine(config: RunConfig, options: CreateEngineOptions): Promise<Engine> {
  if (config.engine !== "onnx") {
    throw new CoordError("CONFIG_INVALID", `--engine ${config.engine} is not available yet; use --engine onnx.`);
  }
  if (config.device !== "auto" && config.device !== "cpu") {
    throw new CoordError(
      "CONFIG_INVALID",
      `--device ${config.device} is not available yet with --engine onnx; use --device cpu or auto.`,
    );
  }
  const { modelDirectory, threads } = options;
  return EngineHost.start({
    modelDirectory,
    threads: Math.max(1, threads),
    trainable: loraOf(config),
    execution: executionOf(config),
    maxLength: config.maxLength,
  });
}
