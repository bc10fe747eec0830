import { CoordError } from "../../../shared/errors.ts";
import { openModel } from "../../model/openModel.ts";
import type { Trainable } from "../../model/trainable.ts";
import { openWeights } from "../../model/weights.ts";
import type { Device } from "../device.ts";
import { type LoadedTfjs, loadTfjs } from "./loadTfjs.ts";
import { TfjsEngine } from "./tfjsEngine.ts";

export interface OpenTfjsOptions {
  readonly device?: Device;
  /** The fastest that loads, unless given. */
  readonly library?: LoadedTfjs;
  /** Gets a line on what it computes with. */
  readonly onNote?: (line: string) => void;
}

/**
 * The TensorFlow.js engine for a HuggingFace-format model directory. Throws CoordError MODEL_INVALID, or ENGINE_FAILED for a GPU that is not there.
 */
export async function openTfjsEngine(
  modelDirectory: string,
  trainable: Trainable,
  { device, library, onNote }: OpenTfjsOptions = {},
): Promise<TfjsEngine> {
  const model = await openModel(modelDirectory, trainable);
  const weights = await openWeights(modelDirectory, model.frozen);
  try {
    const loaded = library ?? loadTfjs();
    if (device?.kind === "cuda" && !loaded.gpu) {
      throw new CoordError(
        "ENGINE_FAILED",
        `--device cuda: ${loaded.choice}. Use --device auto, or install what is missing.`,
      );
    }
    onNote?.(loaded.choice);
    return await TfjsEngine.create(model, loaded, (name) => weights.readFloat32(name));
  } finally {
    await weights.close();
  }
}
