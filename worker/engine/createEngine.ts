import type { RunConfig } from "../../shared/config/schema.ts";
import { executionOf } from "../model/execution.ts";
import { loraOf } from "../model/trainable.ts";
import { parseDevice } from "./device.ts";
import type { Engine } from "./engine.ts";
import { EngineHost } from "./engineHost.ts";

export interface CreateEngineOptions {
  /** HuggingFace-format model directory. */
  readonly modelDirectory: string;
  /** Compute threads; 0 counts as 1. */
  readonly threads: number;
  /** Gets lines for the log: what was chosen to compute with, and why. */
  readonly onNote?: (line: string) => void;
}

/**
 * Starts the engine that a run asks for. Throws CoordError MODEL_INVALID for a model that cannot be trained, and
 * ENGINE_FAILED for a device that is not there.
 */
export async function createEngine(config: RunConfig, options: CreateEngineOptions): Promise<Engine> {
  const { modelDirectory, onNote, threads } = options;
  return EngineHost.start({
    modelDirectory,
    threads: Math.max(1, threads),
    trainable: loraOf(config),
    execution: executionOf(config),
    maxLength: config.maxLength,
    engine: config.engine,
    device: parseDevice(config.device),
    ...(onNote ? { onNote } : {}),
  });
}
