import { stat } from "node:fs/promises";
import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError } from "../../shared/errors.ts";
import { askModelFacts } from "../plan/askModelFacts.ts";

/**
 * Holds config.json, the headers of the weight files and --target-modules against each other, without reading a weight.
 * Throws MODEL_INVALID or CONFIG_INVALID.
 */
export async function checkModel(config: RunConfig): Promise<void> {
  const model = config.model!;
  const found = await stat(model).catch(() => undefined);
  if (!found?.isDirectory()) {
    const what = found ? `${model} is a file` : `There is no model directory ${model}`;
    throw new CoordError(
      "MODEL_INVALID",
      `${what}; --model wants a HuggingFace-format directory with config.json, .safetensors and tokenizer.json.`,
    );
  }
  await askModelFacts(config, { sequence: config.maxLength });
}
