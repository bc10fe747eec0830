import { loadAdapter } from "../../shared/checkpoint/loadAdapter.ts";
import { listPatterns } from "../../shared/checkpoint/loraScaling.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError } from "../../shared/errors.ts";

/** Refuses an --init-adapter whose weights do not fit the run's LoRA settings, or would mean something else with them. */
export async function checkAdapter(run: RunConfig): Promise<void> {
  const { initAdapter, loraAlpha, loraR, targetModules } = run;
  if (initAdapter === undefined) return;
  const { config } = await loadAdapter(initAdapter);
  const differing = [
    { flag: "--lora-r", name: "rank", trained: config.r, given: loraR },
    { flag: "--lora-alpha", name: "alpha", trained: config.lora_alpha, given: loraAlpha },
    { flag: "--use-rslora", name: "use_rslora", trained: config.use_rslora ?? false, given: run.useRslora },
    {
      flag: "--rank-pattern",
      name: "ranks of its own",
      trained: listed(listPatterns(config.rank_pattern)),
      given: listed(run.rankPattern),
    },
    {
      flag: "--alpha-pattern",
      name: "alphas of its own",
      trained: listed(listPatterns(config.alpha_pattern)),
      given: listed(run.alphaPattern),
    },
    { flag: "--use-dora", name: "use_dora", trained: config.use_dora ?? false, given: run.useDora },
    { flag: "--bias", name: "bias", trained: config.bias ?? "none", given: run.bias },
    {
      flag: "--modules-to-save",
      name: "modules to save",
      trained: listed(config.modules_to_save ?? []),
      given: listed(run.modulesToSave),
    },
    {
      flag: "--target-modules",
      name: "target modules",
      trained: listed(config.target_modules),
      // What all-linear and patterns come to depends on the model; the worker holds the tensors against it.
      given: [...targetModules, ...config.target_modules].every(isName)
        ? listed(targetModules)
        : listed(config.target_modules),
    },
  ].find(({ trained, given }) => trained !== given);
  if (differing === undefined) return;
  const { flag, name, trained, given } = differing;
  throw new CoordError(
    "ADAPTER_INVALID",
    `The adapter in ${initAdapter} has ${name} ${trained}, but ${flag} is ${given}; give ${flag} ${trained}.`,
  );
}

function isName(target: string): boolean {
  return target !== "all-linear" && /^[\w.]+$/.test(target);
}

function listed(names: readonly string[]): string {
  return [...new Set(names)].sort().join(",");
}
