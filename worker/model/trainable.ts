import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError } from "../../shared/errors.ts";

/** What is trained: an adapter beside frozen weights, or the weights themselves. */
export type Trainable =
  | {
      readonly kind: "lora";
      readonly r: number;
      readonly alpha: number;
      readonly dropout: number;
      /** Names of linear modules, or "all-linear". */
      readonly targetModules: readonly string[];
    }
  | { readonly kind: "full" };

export function loraOf(config: RunConfig): Trainable {
  const { loraAlpha, loraDropout, loraR, targetModules } = config;
  return { kind: "lora", r: loraR, alpha: loraAlpha, dropout: loraDropout, targetModules };
}

const allLinear = "all-linear";
const head = "lm_head";

/** PEFT's rule: a target is a module's whole name or the end of it after a dot; all-linear is every one but the head. */
export function isTarget(module: string, targets: readonly string[]): boolean {
  return targets.some((target) =>
    target === allLinear ? module !== head : module === target || module.endsWith(`.${target}`),
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
