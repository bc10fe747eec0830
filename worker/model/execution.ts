import type { RunConfig } from "../../shared/config/schema.ts";
import type { WeightStorage } from "./segmentWeights.ts";

/** How a model is run: as one graph, or layer by layer with activations computed again. */
export type Execution = { readonly kind: "whole" } | { readonly kind: "layered"; readonly storage: WeightStorage };

/** Quantized weights are widened a layer at a time, so they are only run layer by layer. */
export function executionOf(config: Pick<RunConfig, "gradientCheckpointing" | "loadIn4bit" | "loadIn8bit">): Execution {
  if (config.loadIn4bit) return { kind: "layered", storage: "nf4" };
  if (config.loadIn8bit) return { kind: "layered", storage: "int8" };
  return config.gradientCheckpointing ? { kind: "layered", storage: "file" } : { kind: "whole" };
}
