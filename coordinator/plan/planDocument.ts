import type { ModelFacts } from "../../shared/plan/modelFacts.ts";
import type { DataFacts } from "./dataFacts.ts";
import type { RunPlan } from "./planRun.ts";
import type { ScaleRow } from "./scaleTable.ts";
import type { SimulatedScale } from "./simulateScale.ts";

/** What `coord plan --json` prints. Bytes, seconds, elements and counts. */
export interface PlanDocument {
  readonly plan: RunPlan;
  readonly data: DataFacts;
  /** Absent where --samples was given without a model. */
  readonly model?: ModelFacts;
  /** Memory of a worker's device that must not be exceeded (--memory-gb). */
  readonly limitBytes?: number;
  readonly networkGbps: number;
  /** How the seconds of a slot are known. */
  readonly slotSeconds?: { readonly value: number; readonly source: string };
  readonly scale: readonly ScaleRow[];
  /** Simulated clusters of growing size; only with --mtbf-hours, and where a time is known. */
  readonly simulated?: readonly SimulatedScale[];
  /** Sentences on what the figures leave out or what looks wrong. */
  readonly notes: readonly string[];
}
