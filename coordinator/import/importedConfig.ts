import type { AdapterExtras } from "../../shared/checkpoint/adapterConfig.ts";
import type { ForeignTrainerState } from "../../shared/checkpoint/foreignTrainerState.ts";
import { type LoraScaling, listPatterns } from "../../shared/checkpoint/loraScaling.ts";
import type { ConfigKey, RunConfig } from "../../shared/config/schema.ts";
import { kebabCase } from "../../shared/config/settings.ts";
import { CoordError } from "../../shared/errors.ts";
import { importedEarlyStopping } from "./importedCallbacks.ts";

/** The settings of a run that goes on from another program's checkpoint, and where each taken-over one is from. */
export interface ImportedConfig {
  readonly config: RunConfig;
  /** Settings that the checkpoint has decided. */
  readonly taken: Readonly<Partial<RunConfig>>;
}

/**
 * Decides the settings: the adapter's own cannot be changed; the Trainer's give way to what the user says. Throws
 * CONFIG_INVALID where the user asks for another adapter than there is.
 */
export function importedConfig(
  given: RunConfig,
  sources: Readonly<Partial<Record<ConfigKey, string>>>,
  adapter: LoraScaling & AdapterExtras & { readonly lora_dropout: number },
  targetModules: readonly string[],
  trainer: ForeignTrainerState,
): ImportedConfig {
  const isGiven = (key: ConfigKey) => (sources[key] ?? "default") !== "default";
  const fixed = {
    loraR: adapter.r,
    loraAlpha: adapter.lora_alpha,
    targetModules: [...targetModules],
    useRslora: adapter.use_rslora ?? false,
    rankPattern: listPatterns(adapter.rank_pattern),
    alphaPattern: listPatterns(adapter.alpha_pattern),
    useDora: adapter.use_dora ?? false,
    bias: adapter.bias ?? "none",
    modulesToSave: [...(adapter.modules_to_save ?? [])],
  };
  for (const [key, value] of Object.entries(fixed) as [keyof typeof fixed, unknown][]) {
    if (!isGiven(key) || sameSet(given[key], value)) continue;
    throw new CoordError(
      "CONFIG_INVALID",
      `--${kebabCase(key)} is ${given[key]}, but the adapter to be imported has ${value}; leave the flag out.`,
    );
  }
  const stopping = importedEarlyStopping(trainer);
  const wishes: Partial<Record<ConfigKey, number | undefined>> = {
    loraDropout: adapter.lora_dropout,
    numTrainEpochs: trainer.numTrainEpochs,
    // The number of steps the schedule was made for, unless the user says how long to train.
    maxSteps: isGiven("numTrainEpochs") ? undefined : trainer.maxSteps,
    perDeviceTrainBatchSize: trainer.trainBatchSize,
    loggingSteps: trainer.loggingSteps,
    saveSteps: trainer.saveSteps,
    evalSteps: trainer.evalSteps,
    earlyStoppingPatience: stopping?.patience,
    earlyStoppingThreshold: stopping?.threshold,
  };
  const taken = Object.entries(wishes).filter(([key, value]) => value !== undefined && !isGiven(key as ConfigKey));
  const all = { ...fixed, ...Object.fromEntries(taken) } as Partial<RunConfig>;
  return { config: { ...given, ...all, adamStartStep: trainer.step }, taken: all };
}

function sameSet(a: unknown, b: unknown): boolean {
  const sorted = (value: unknown) => JSON.stringify(Array.isArray(value) ? [...value].sort() : value);
  return sorted(a) === sorted(b);
}
