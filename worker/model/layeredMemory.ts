import type { MemoryEstimate } from "../engine/engine.ts";
import type { CutModel } from "./cutModel.ts";
import type { Model } from "./model.ts";
import type { WeightStorage } from "./segmentWeights.ts";

export function estimateLayeredMemory(
  _m: Model,
  _c: CutModel,
  _s: WeightStorage,
  _b: number,
  _q: number,
): MemoryEstimate {
  return { weights: 0, activations: 0, trainable: 0, workspace: 0, total: 0 };
}
