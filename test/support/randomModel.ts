import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { elementCount } from "../../shared/tensors/layout.ts";
import { encodeSafetensors } from "../../shared/tensors/safetensors.ts";
import { buildModel } from "../../worker/model/model.ts";
import { tinyLora } from "./tinyModel.ts";
import { tinyTokenizer, writeTokenizer } from "./tinyTokenizer.ts";

/** Writes a complete model directory: random float32 weights, the same on every host, and a byte-level tokenizer. */
export async function writeRandomModel(directory: string, config: object): Promise<void> {
  await mkdir(directory, { recursive: true });
  await writeTokenizer(tinyTokenizer(directory));
  await writeFile(join(directory, "config.json"), JSON.stringify(config, undefined, 2));
  const { frozen } = buildModel(config, "config.json", { ...tinyLora, targetModules: ["all-linear"] });
  const random = mulberry32(1);
  const tensors = [...frozen].map(([name, shape]) => {
    const data = new Float32Array(elementCount(shape));
    // Norm scales around one, everything else small around zero, as in a freshly initialised model.
    for (let i = 0; i < data.length; i++) data[i] = shape.length === 1 ? 1 : random() * 0.08 - 0.04;
    return { name, shape, data };
  });
  await writeFile(join(directory, "model.safetensors"), encodeSafetensors(tensors, { format: "pt" }));
}

/** Uniform values in [0, 1): quick enough for hundreds of millions. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
