import { CoordError } from "../../shared/errors.ts";
import { buildModel, type Model } from "./model.ts";
import type { Trainable } from "./trainable.ts";
import { openWeights, readModelConfig } from "./weights.ts";
import type { Start } from "./writeModel.ts";

/** The model of a HuggingFace-format directory, without its weights. Throws CoordError MODEL_INVALID or CONFIG_INVALID. */
export async function openModel(directory: string, trainable: Trainable): Promise<Model> {
  const { content, path } = await readModelConfig(directory);
  const model = buildModel(content, path, trainable);
  if (model.starts.size === 0) return model;
  return {
    ...model,
    async initialParameters(seed) {
      const flat = await model.initialParameters(seed);
      const weights = await openWeights(
        directory,
        new Map([...model.starts.values()].map((one) => [one.from, one.shape])),
      );
      try {
        for (const [name, start] of model.starts) {
          const { offset } = model.layout.tensors.find((tensor) => tensor.name === name)!;
          flat.set(startValues(start, await weights.readFloat32(start.from)), offset);
        }
      } finally {
        await weights.close();
      }
      const broken = flat.findIndex((value) => !Number.isFinite(value));
      if (broken < 0) return flat;
      throw new CoordError(
        "MODEL_INVALID",
        `The weights in ${directory} hold ${flat[broken]}, from which nothing can be trained.`,
      );
    },
  };
}

/** `values` themselves, or the length of each row or column of the matrix that they are, summed in float64. */
export function startValues({ as, shape }: Start, values: Float32Array): Float32Array {
  if (as === "copy") return values;
  const [rows, columns] = shape as [number, number];
  const squares = new Float64Array(as === "row lengths" ? rows : columns);
  for (let row = 0, at = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, at++)
      squares[as === "row lengths" ? row : column]! += values[at]! ** 2;
  }
  return Float32Array.from(squares, Math.sqrt);
}
