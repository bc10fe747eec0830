import { type LoraModule, weightOf } from "../../shared/checkpoint/loraModules.ts";

/**
 * The --target-modules that give exactly the modules of an adapter in a model with weights of these names: plain names
 * such as q_proj where every module of that name has an adapter, whole module names otherwise.
 */
export function targetModulesOf(modules: readonly LoraModule[], baseWeights: readonly string[]): string[] {
  const adapted = new Set(modules.map(({ module }) => module));
  const lastName = (module: string) => module.slice(module.lastIndexOf(".") + 1);
  const names = [...new Set([...adapted].map(lastName))].sort();
  const weights = new Set([...adapted].map(weightOf));
  const complete = names.every((name) =>
    baseWeights.every((weight) => !weight.endsWith(`.${weightOf(name)}`) || weights.has(weight)),
  );
  return complete ? names : [...adapted].sort();
}
