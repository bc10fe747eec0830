import { isRegularExpression } from "../../shared/checkpoint/adapterConfig.ts";
import { isPattern, parsePatterns, rankOf, scaleOf } from "../../shared/checkpoint/loraScaling.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError } from "../../shared/errors.ts";

/** What is trained: an adapter beside frozen weights, or the weights themselves. */
export type Trainable =
  | {
      readonly kind: "lora";
      readonly r: number;
      readonly alpha: number;
      readonly dropout: number;
      /** Names of linear modules, regular expressions for whole names, or "all-linear". */
      readonly targetModules: readonly string[];
      readonly useRslora?: boolean;
      /** Ranks and alphas that differ between modules (shared/checkpoint/loraScaling.ts). */
      readonly rankPattern?: Readonly<Record<string, number>>;
      readonly alphaPattern?: Readonly<Record<string, number>>;
      /** How A starts: Kaiming-uniform, or normal with standard deviation 1 / rank. */
      readonly initLoraWeights?: "true" | "gaussian";
      /** Trains the length of each output's weights apart from their direction (Liu et al. 2024). */
      readonly useDora?: boolean;
      /** Which biases of the model are trained: none, or those of modules with an adapter. */
      readonly bias?: "none" | "lora_only";
      /** Embeddings, and the head, that are trained as a whole, in a copy of their own. */
      readonly modulesToSave?: readonly string[];
    }
  | { readonly kind: "full" };

export function loraOf(config: RunConfig): Trainable {
  const { initLoraWeights, loraAlpha, loraDropout, loraR, modulesToSave, targetModules, useDora, useRslora } = config;
  return {
    kind: "lora",
    r: loraR,
    alpha: loraAlpha,
    dropout: loraDropout,
    targetModules,
    useRslora,
    rankPattern: parsePatterns(config.rankPattern),
    alphaPattern: parsePatterns(config.alphaPattern),
    initLoraWeights,
    useDora,
    bias: config.bias,
    modulesToSave,
  };
}

/** Rank and scale of the adapter of a module. */
export function scalingOf(lora: Extract<Trainable, { kind: "lora" }>, module: string): { rank: number; scale: number } {
  const { alpha, alphaPattern = {}, r, rankPattern = {}, useRslora = false } = lora;
  const config = {
    r,
    lora_alpha: alpha,
    use_rslora: useRslora,
    rank_pattern: rankPattern,
    alpha_pattern: alphaPattern,
  };
  return { rank: rankOf(config, module), scale: scaleOf(config, module) };
}

const allLinear = "all-linear";
const head = "lm_head";

/**
 * PEFT's rule: a target is a module's whole name or the end of it after a dot, or a regular expression for the whole
 * name; all-linear is every one but the head.
 */
export function isTarget(module: string, targets: readonly string[]): boolean {
  return targets.some((target) => {
    if (target === allLinear) return module !== head;
    if (isRegularExpression(target)) return new RegExp(`^(?:${target})$`).test(module);
    return module === target || module.endsWith(`.${target}`);
  });
}

/** Whether a module is trained as a whole; it then gets no adapter, as in PEFT. */
export function isSaved(module: string, trainable: Trainable): boolean {
  if (trainable.kind !== "lora") return false;
  return (trainable.modulesToSave ?? []).some((name) => module === name || module.endsWith(`.${name}`));
}

/** Refuses modules to save that are none of `possible`. */
export function checkSaved(names: readonly string[], possible: readonly string[]): void {
  for (const name of names) {
    if (possible.some((module) => module === name || module.endsWith(`.${name}`))) continue;
    throw new CoordError(
      "CONFIG_INVALID",
      `--modules-to-save names ${JSON.stringify(name)}; of this model ${possible.map((module) => module.slice(module.lastIndexOf(".") + 1)).join(", ")} can be trained as a whole.`,
    );
  }
}

/** Refuses targets that are neither a name nor a regular expression. */
export function checkPatterns(targets: readonly string[]): void {
  const broken = targets.find((target) => !isPattern(target));
  if (broken === undefined) return;
  throw new CoordError(
    "CONFIG_INVALID",
    `--target-modules names ${JSON.stringify(broken)}, which is neither a module's name nor a regular expression.`,
  );
}

/** Refuses targets that are no linear module of the model: PEFT trains without them, and nobody notices. */
export function checkTargets(targets: readonly string[], modules: readonly string[]): void {
  for (const target of targets) {
    if (modules.some((module) => isTarget(module, [target]))) continue;
    const names = [...new Set(modules.map((module) => module.slice(module.lastIndexOf(".") + 1)))];
    throw new CoordError(
      "CONFIG_INVALID",
      `--target-modules names ${JSON.stringify(target)}, which is no linear module of the model; there are ${names.join(", ")}, and all-linear.`,
    );
  }
}
