import { CoordError } from "../errors.ts";
import type { AdapterExtras } from "./adapterConfig.ts";
import type { Tensor } from "./flat.ts";
import { type LoraScaling, rankOf, scaleOf } from "./loraScaling.ts";

/** The adapter of one linear module: what it adds to the weight is scale · up · down. */
export interface LoraModule {
  /** The module's name in the base model: `model.layers.0.self_attn.q_proj`. */
  readonly module: string;
  /** PEFT's A: [rank, in]. */
  readonly down: Tensor;
  /** PEFT's B: [out, rank]. */
  readonly up: Tensor;
  /** alpha / rank, or alpha / √rank. */
  readonly scale: number;
  /** DoRA's length of each row of the weight, [out]. */
  readonly magnitude?: Tensor;
}

/** Name of the weight [out, in] of a linear module of the base model. */
export function weightOf(module: string): string {
  return `${module}.weight`;
}

/** The base model's module that a tensor of an adapter belongs to; undefined for a name that is no LoRA matrix. */
export function loraModuleOf(name: string): { module: string; matrix: "A" | "B" } | undefined {
  const [, module, matrix] = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/.exec(name) ?? [];
  return module === undefined ? undefined : { module, matrix: matrix as "A" | "B" };
}

/** Weights and biases of the base model that the adapter has its own of, by their names there: PEFT's modules_to_save and bias. */
export function replacedWeights(tensors: ReadonlyMap<string, Tensor>, config: AdapterExtras): Map<string, Tensor> {
  const replaced = new Map<string, Tensor>();
  for (const [name, tensor] of tensors) {
    const [, module, inBase, kind] = /^base_model\.model\.(.+?)(\.base_layer)?\.(weight|bias)$/.exec(name) ?? [];
    if (module === undefined || loraModuleOf(name)) continue;
    const trained = inBase
      ? config.bias === "lora_only" && kind === "bias"
      : (config.modules_to_save ?? []).some((saved) => module.endsWith(saved));
    if (trained) replaced.set(`${module}.${kind}`, tensor);
  }
  return replaced;
}

const magnitudeSuffix = ".lora_magnitude_vector";

/** Pairs the tensors of an adapter. Throws ADAPTER_INVALID that names the tensor; `source` is where they are from. */
export function loraModules(
  tensors: ReadonlyMap<string, Tensor>,
  config: LoraScaling & AdapterExtras,
  source: string,
): LoraModule[] {
  const pairs = new Map<string, { A?: Tensor; B?: Tensor }>();
  const others = new Set(replacedWeights(tensors, config).values());
  for (const [name, tensor] of tensors) {
    if (others.has(tensor) || (config.use_dora && name.endsWith(magnitudeSuffix))) continue;
    const found = loraModuleOf(name);
    if (!found) {
      throw invalid(`${source} has the tensor ${JSON.stringify(name)}, which is no LoRA matrix of a linear module`);
    }
    const pair = pairs.get(found.module) ?? {};
    pair[found.matrix] = tensor;
    pairs.set(found.module, pair);
  }
  if (pairs.size === 0) throw invalid(`${source} holds no tensors`);
  return [...pairs].map(([module, { A, B }]) => {
    if (!A || !B) throw invalid(`${source} has only one of the two matrices of ${module}`);
    const r = rankOf(config, module);
    const fits = A.shape.length === 2 && B.shape.length === 2 && A.shape[0] === r && B.shape[1] === r;
    if (!fits) {
      throw invalid(`${source} has matrices [${A.shape}] and [${B.shape}] of ${module}, which are not of rank ${r}`);
    }
    const plain = { module, down: A, up: B, scale: scaleOf(config, module) };
    if (!config.use_dora) return plain;
    const magnitude = tensors.get(`base_model.model.${module}${magnitudeSuffix}`);
    if (magnitude?.shape.join() !== String(B.shape[0])) {
      throw invalid(`${source} has no lora_magnitude_vector of ${module}, or not one of ${B.shape[0]} elements`);
    }
    return { ...plain, magnitude };
  });
}

const invalid = (sentence: string) =>
  new CoordError("ADAPTER_INVALID", `${sentence}; it was made with settings that coord cannot use, or is damaged.`);
