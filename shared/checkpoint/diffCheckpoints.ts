import { elementCount, type ParamLayout } from "../tensors/layout.ts";
import type { CheckpointContents } from "./types.ts";

/** How a tensor of one checkpoint differs from that of the same name in another. */
export interface TensorDifference {
  readonly name: string;
  /** `shape`: the shapes differ, so the values were not compared. */
  readonly state: "same" | "changed" | "shape" | "only in the first" | "only in the second";
  /** Largest absolute difference; null where nothing could be compared, or a difference is not finite. */
  readonly maxAbs: number | null;
  /** That over the largest magnitude in the first; null where that is zero or maxAbs is null. */
  readonly maxRel: number | null;
}

/** A setting that differs; undefined where a checkpoint has none of that name. */
export interface SettingDifference {
  readonly name: string;
  readonly first: unknown;
  readonly second: unknown;
}

export interface CheckpointDifference {
  /** True when every tensor of adapter and optimizer is the same. */
  readonly sameState: boolean;
  readonly parameters: readonly TensorDifference[];
  readonly firstMoment: readonly TensorDifference[];
  readonly secondMoment: readonly TensorDifference[];
  readonly settings: readonly SettingDifference[];
}

/** Compares two checkpoints: parameters and moments tensor by tensor, then everything else that has a name. */
export function diffCheckpoints(first: CheckpointContents, second: CheckpointContents): CheckpointDifference {
  const compare = (pick: "parameters" | "firstMoment" | "secondMoment") =>
    compareTensors(first.state.layout, first.state[pick], second.state.layout, second.state[pick]);
  const [parameters, firstMoment, secondMoment] = [
    compare("parameters"),
    compare("firstMoment"),
    compare("secondMoment"),
  ];
  const all = [...parameters, ...firstMoment, ...secondMoment];
  return {
    sameState: all.every(({ state }) => state === "same"),
    parameters,
    firstMoment,
    secondMoment,
    settings: compareSettings(settingsOf(first), settingsOf(second)),
  };
}

function compareTensors(
  firstLayout: ParamLayout,
  first: Float32Array,
  secondLayout: ParamLayout,
  second: Float32Array,
): TensorDifference[] {
  const others = new Map(secondLayout.tensors.map((slice) => [slice.name, slice]));
  const nothing = { maxAbs: null, maxRel: null };
  const differences = firstLayout.tensors.map(({ name, offset, shape }): TensorDifference => {
    const other = others.get(name);
    others.delete(name);
    if (!other) return { name, state: "only in the first", ...nothing };
    if (other.shape.join() !== shape.join()) return { name, state: "shape", ...nothing };
    const count = elementCount(shape);
    const [a, b] = [first.subarray(offset, offset + count), second.subarray(other.offset, other.offset + count)];
    return { name, ...compareValues(a, b) };
  });
  const rest = [...others.keys()].map((name) => ({ name, state: "only in the second", ...nothing }) as const);
  return [...differences, ...rest];
}

function compareValues(first: Float32Array, second: Float32Array): Omit<TensorDifference, "name"> {
  let [maxAbs, magnitude, same] = [0, 0, true];
  for (let i = 0; i < first.length; i++) {
    const [a, b] = [first[i]!, second[i]!];
    if (Object.is(a, b)) {
      magnitude = Math.max(magnitude, Math.abs(a));
      continue;
    }
    same = false;
    // Math.max hands a NaN on.
    maxAbs = Math.max(maxAbs, Math.abs(a - b));
    magnitude = Math.max(magnitude, Math.abs(a));
  }
  if (!Number.isFinite(maxAbs)) return { state: "changed", maxAbs: null, maxRel: null };
  const maxRel = magnitude > 0 && Number.isFinite(magnitude) ? maxAbs / magnitude : null;
  return { state: same ? "same" : "changed", maxAbs, maxRel: same ? 0 : maxRel };
}

function settingsOf({
  adapterConfig,
  cursor,
  fingerprints,
  generation,
  runId,
  state,
  trainerState,
}: CheckpointContents) {
  const { log_history, stateful_callbacks, trial_params, ...trainer } = trainerState;
  const named = (prefix: string, values: object) =>
    Object.entries(values).map(([key, value]) => [`${prefix}.${key}`, value as unknown] as const);
  return new Map<string, unknown>([
    ["step", state.step],
    ["run", runId],
    ["generation", Number(generation)],
    ...named("adapter", adapterConfig),
    ...named("data", cursor),
    ...named("fingerprint", fingerprints),
    ...named("trainer", trainer),
  ]);
}

function compareSettings(
  first: ReadonlyMap<string, unknown>,
  second: ReadonlyMap<string, unknown>,
): SettingDifference[] {
  const names = new Set([...first.keys(), ...second.keys()]);
  return [...names].flatMap((name) => {
    const [a, b] = [first.get(name), second.get(name)];
    return JSON.stringify(a) === JSON.stringify(b) ? [] : [{ name, first: a, second: b }];
  });
}
