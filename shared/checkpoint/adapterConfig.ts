import { z } from "zod";
import type { RunConfig } from "../config/schema.ts";
import { CoordError, type ErrorCode } from "../errors.ts";
import type { ParamLayout } from "../tensors/layout.ts";
import { parseStrictJson } from "../tensors/strictJson.ts";
import { isPattern, type LoraScaling, parsePatterns } from "./loraScaling.ts";

const off = (meaning: string) => z.literal(false, `must be false: ${meaning} is not supported`).optional();
const empty = (meaning: string) =>
  z
    .union([z.null(), z.record(z.string(), z.never()), z.tuple([])], `must be empty: ${meaning} is not supported`)
    .optional();

const patterns = (value: z.ZodNumber) =>
  z.record(z.string().refine(isPattern, "is no regular expression"), value).nullish();

/**
 * The keys of PEFT's adapter_config.json (peft/tuners/lora/config.py, `LoraConfig`) that decide what the adapter
 * computes. Settings that this program would compute differently are refused; other keys are ignored.
 */
const adapterConfigSchema = z.object({
  peft_type: z.literal("LORA", "must be LORA: other kinds of adapters are not supported"),
  base_model_name_or_path: z.string().nullish(),
  task_type: z.string().nullish(),
  r: z.int().positive(),
  lora_alpha: z.number().positive(),
  lora_dropout: z.number().min(0).max(1).default(0),
  target_modules: z.union([z.string(), z.array(z.string())]),
  bias: z.enum(["none", "lora_only"], "must be none or lora_only: other trained biases are not supported").optional(),
  use_dora: z.boolean().nullish(),
  use_rslora: z.boolean().nullish(),
  lora_bias: off("a bias in the adapter"),
  rank_pattern: patterns(z.int().positive()),
  alpha_pattern: patterns(z.number().positive()),
  modules_to_save: z.array(z.string()).nullish(),
  trainable_token_indices: empty("training single tokens"),
});

/** The LoRA settings of an adapter, in PEFT's names. */
export interface AdapterConfig extends LoraScaling, AdapterExtras {
  /** Directory or hub name of the base model. */
  readonly base_model_name_or_path: string | null;
  readonly lora_dropout: number;
  /** Names of the linear modules that have an adapter, or a single regular expression for whole names. */
  readonly target_modules: readonly string[];
}

/** What is trained beside plain LoRA matrices. */
export interface AdapterExtras {
  /** Whether the length of each output's weights is trained apart from their direction. */
  readonly use_dora?: boolean;
  /** Which biases are trained; none unless given. */
  readonly bias?: "none" | "lora_only";
  /** Embeddings and head that are trained as a whole. */
  readonly modules_to_save?: readonly string[];
}

/** The adapter settings of a run. `all-linear` becomes the names of the modules in `layout` that have an adapter. */
export function adapterConfigOf(config: RunConfig, baseModel: string, layout: ParamLayout): AdapterConfig {
  return {
    base_model_name_or_path: baseModel,
    r: config.loraR,
    lora_alpha: config.loraAlpha,
    lora_dropout: config.loraDropout,
    target_modules: targetsOf(config.targetModules, layout),
    ...scalingOf(loraScalingOf(config)),
    ...extrasOf({ bias: config.bias, modules_to_save: config.modulesToSave, use_dora: config.useDora }),
  };
}

/** The run's settings in PEFT's names. */
export function loraScalingOf(config: RunConfig): LoraScaling {
  return {
    r: config.loraR,
    lora_alpha: config.loraAlpha,
    use_rslora: config.useRslora,
    rank_pattern: parsePatterns(config.rankPattern),
    alpha_pattern: parsePatterns(config.alphaPattern),
  };
}

/** Without what changes nothing. */
function scalingOf({ use_rslora, rank_pattern, alpha_pattern }: Nullish<LoraScaling>): Partial<LoraScaling> {
  const isSet = (patterns: object | null | undefined) => Object.keys(patterns ?? {}).length > 0;
  return {
    ...(use_rslora ? { use_rslora } : {}),
    ...(rank_pattern && isSet(rank_pattern) ? { rank_pattern } : {}),
    ...(alpha_pattern && isSet(alpha_pattern) ? { alpha_pattern } : {}),
  };
}

/** Without what is off. */
function extrasOf({ bias, modules_to_save, use_dora }: Nullish<AdapterExtras>): AdapterExtras {
  return {
    ...(use_dora ? { use_dora } : {}),
    ...(bias && bias !== "none" ? { bias } : {}),
    ...(modules_to_save && modules_to_save.length > 0 ? { modules_to_save } : {}),
  };
}

type Nullish<Type> = { readonly [Key in keyof Type]?: Type[Key] | null | undefined };

function targetsOf(targets: readonly string[], layout: ParamLayout): readonly string[] {
  if (targets.includes("all-linear")) return modulesIn(layout);
  // PEFT takes one regular expression or a list of names.
  return targets.length > 1 && targets.some(isRegularExpression) ? wholeModulesIn(layout) : targets;
}

/** Whether a target is more than a name: PEFT then wants a single string. */
export function isRegularExpression(target: string): boolean {
  return /[^\w.-]/.test(target);
}

/** adapter_config.json with every key that PEFT since 0.9 reads, sorted. */
export function encodeAdapterConfig(config: AdapterConfig): Uint8Array {
  const json = {
    alpha_pattern: config.alpha_pattern ?? {},
    auto_mapping: null,
    base_model_name_or_path: config.base_model_name_or_path,
    bias: config.bias ?? "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    loftq_config: {},
    lora_alpha: config.lora_alpha,
    lora_dropout: config.lora_dropout,
    modules_to_save: config.modules_to_save ?? null,
    peft_type: "LORA",
    r: config.r,
    rank_pattern: config.rank_pattern ?? {},
    revision: null,
    target_modules:
      config.target_modules.length === 1 && isRegularExpression(config.target_modules[0]!)
        ? config.target_modules[0]
        : config.target_modules,
    task_type: "CAUSAL_LM",
    use_dora: config.use_dora ?? false,
    use_rslora: config.use_rslora ?? false,
  };
  return new TextEncoder().encode(`${JSON.stringify(json, undefined, 2)}\n`);
}

/** Throws CoordError with `code` that names `path`, the key and what it should be. */
export function decodeAdapterConfig(
  text: string,
  path: string,
  code: Extract<ErrorCode, "ADAPTER_INVALID" | "CHECKPOINT_INVALID"> = "ADAPTER_INVALID",
): AdapterConfig {
  let json: unknown;
  try {
    json = parseStrictJson(text);
  } catch (thrown) {
    throw new CoordError(code, `${path} is not valid JSON: ${(thrown as Error).message}.`, { cause: thrown });
  }
  const parsed = adapterConfigSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const key = issue?.path.join(".") || "the document";
    throw new CoordError(code, `${path} cannot be used: ${key}: ${issue?.message}.`, { cause: parsed.error });
  }
  const { base_model_name_or_path, r, lora_alpha, lora_dropout, target_modules } = parsed.data;
  return {
    base_model_name_or_path: base_model_name_or_path ?? null,
    r,
    lora_alpha,
    lora_dropout,
    target_modules: typeof target_modules === "string" ? [target_modules] : target_modules,
    ...scalingOf(parsed.data),
    ...extrasOf(parsed.data),
  };
}

/** `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight` has the module `q_proj`. */
function modulesIn(layout: ParamLayout): string[] {
  const names = layout.tensors.map(({ name }) => /([^.]+)\.lora_[AB]\.weight$/.exec(name)?.[1]);
  return [...new Set(names)].filter((name) => name !== undefined).sort();
}

function wholeModulesIn(layout: ParamLayout): string[] {
  const names = layout.tensors.map(({ name }) => /^base_model\.model\.(.+)\.lora_[AB]\.weight$/.exec(name)?.[1]);
  return [...new Set(names)].filter((name) => name !== undefined);
}
