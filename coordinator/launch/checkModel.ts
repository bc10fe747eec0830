import { stat } from "node:fs/promises";
import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError } from "../../shared/errors.ts";
import { askModelFacts } from "../plan/askModelFacts.ts";
import { checkMemory } from "./checkMemory.ts";

/**
 * Holds config.json, the headers of the weight files and --target-modules against each other, without reading a weight.
 * Where the run is about to be started, its memory too. Throws MODEL_INVALID or CONFIG_INVALID, or PREFLIGHT_REFUSED for a
 * run that this host has not the memory for.
 */
export async function checkModel(config: RunConfig, starting: boolean, signal: AbortSignal): Promise<void> {
  const model = config.model!;
  const found = await stat(model).catch(() => undefined);
  if (!found?.isDirectory()) {
    const what = found ? `${model} is a file` : `There is no model directory ${model}`;
    throw new CoordError(
      "MODEL_INVALID",
      `${what}; --model wants a HuggingFace-format directory with config.json, .safetensors and tokenizer.json.`,
    );
  }
  if (starting) await checkMemory(config, signal);
  else await askModelFacts(config, { sequence: config.maxLength });
}
