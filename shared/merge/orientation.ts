import type { Tensor } from "../checkpoint/flat.ts";
import type { LoraModule } from "../checkpoint/loraModules.ts";
import { CoordError } from "../errors.ts";

/** GPT-2's linear layers are transformers' Conv1D (pytorch_utils.py), whose weight is [in, out]. */
const transposedModules: Readonly<Record<string, readonly string[]>> = { gpt2: ["c_attn", "c_fc", "c_proj"] };

/**
 * The modules as their weights lie in the base model: where that is [in, out], the matrices are those whose product is
 * the transposed one. `config` is the content of the base model's config.json.
 */
export function orientModules(modules: readonly LoraModule[], config: Readonly<Record<string, unknown>>): LoraModule[] {
  const names = transposedModules[String(config["model_type"])] ?? [];
  return modules.map((lora) => {
    if (!names.includes(lora.module.slice(lora.module.lastIndexOf(".") + 1))) return lora;
    if (lora.magnitude) {
      throw new CoordError(
        "ADAPTER_INVALID",
        `The adapter of ${lora.module} is DoRA on a transposed weight, which cannot be merged here; merge it with PEFT's merge_and_unload, or use it beside its base model.`,
      );
    }
    return { ...lora, down: transposed(lora.up), up: transposed(lora.down) };
  });
}

function transposed({ data, shape }: Tensor): Tensor {
  const [rows, columns] = shape as [number, number];
  const result = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) result[column * rows + row] = data[row * columns + column]!;
  }
  return { shape: [columns, rows], data: result };
}
