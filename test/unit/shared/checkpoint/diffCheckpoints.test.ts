import { describe, expect, it } from "vitest";
import { diffCheckpoints } from "../../../../shared/checkpoint/diffCheckpoints.ts";
import type { CheckpointContents } from "../../../../shared/checkpoint/types.ts";
import { layOut } from "../../../../shared/tensors/layout.ts";
import { checkpointContents } from "../../../support/checkpointContents.ts";

const first = checkpointContents(10);
const [a, b] = first.state.layout.tensors.map(({ name }) => name) as [string, string];
const withParameters = (change: (values: Float32Array) => void): CheckpointContents => {
  const parameters = first.state.parameters.slice();
  change(parameters);
  return { ...first, state: { ...first.state, parameters } };
};

describe("diffCheckpoints", () => {
  it("finds nothing between a checkpoint and itself", () => {
    const difference = diffCheckpoints(first, checkpointContents(10));
    expect(difference).toMatchObject({ sameState: true, settings: [] });
    expect(difference.parameters.map(({ maxAbs, state }) => [state, maxAbs])).toEqual([
      ["same", 0],
      ["same", 0],
    ]);
  });

  it("gives the largest absolute difference, and it over the largest magnitude of the first", () => {
    const second = withParameters((values) => {
      values[0] = first.state.parameters[0]! + 0.5;
      values[1] = first.state.parameters[1]! - 0.25;
    });
    const difference = diffCheckpoints(first, second);
    const magnitude = Math.max(...first.state.parameters.subarray(0, 6).map(Math.abs));
    expect(difference.sameState).toBe(false);
    expect(difference.parameters[0]).toMatchObject({ name: a, state: "changed" });
    expect(difference.parameters[0]!.maxAbs).toBeCloseTo(0.5, 6);
    expect(difference.parameters[0]!.maxRel).toBeCloseTo(0.5 / magnitude, 6);
    expect(difference.parameters[1]).toMatchObject({ name: b, state: "same" });
    expect(difference.firstMoment.every(({ state }) => state === "same")).toBe(true);
  });

  it("tells zeros of different sign apart and has no figure for a NaN", () => {
    const zero = withParameters((values) => values.fill(0));
    const negative = withParameters((values) => values.fill(0).fill(-0, 0, 1));
    expect(diffCheckpoints(zero, negative).parameters[0]).toEqual({
      name: a,
      state: "changed",
      maxAbs: 0,
      maxRel: null,
    });
    const broken = withParameters((values) => values.fill(Number.NaN, 0, 1));
    expect(diffCheckpoints(first, broken).parameters[0]).toMatchObject({
      state: "changed",
      maxAbs: null,
      maxRel: null,
    });
    expect(diffCheckpoints(broken, broken).sameState).toBe(true);
  });

  it("names tensors that only one has, or that have another shape", () => {
    const layout = layOut([
      { name: a, shape: [3, 2] },
      { name: "other", shape: [6] },
    ]);
    const difference = diffCheckpoints(first, { ...first, state: { ...first.state, layout } });
    expect(difference.parameters.map(({ name, state }) => [name, state])).toEqual([
      [a, "shape"],
      [b, "only in the first"],
      ["other", "only in the second"],
    ]);
  });

  it("names settings that differ, but not the log", () => {
    const second = checkpointContents(20, { generation: 2n });
    const { settings } = diffCheckpoints(first, {
      ...second,
      adapterConfig: { ...second.adapterConfig, lora_alpha: 32 },
      fingerprints: { dataset: "ab12", extra: "x" },
    });
    expect(settings).toContainEqual({ name: "step", first: 10, second: 20 });
    expect(settings).toContainEqual({ name: "generation", first: 1, second: 2 });
    expect(settings).toContainEqual({ name: "adapter.lora_alpha", first: 16, second: 32 });
    expect(settings).toContainEqual({ name: "fingerprint.model", first: "cd34", second: undefined });
    expect(settings).toContainEqual({ name: "fingerprint.extra", first: undefined, second: "x" });
    expect(settings.map(({ name }) => name)).not.toContain("fingerprint.dataset");
    expect(settings.some(({ name }) => name.includes("log_history"))).toBe(false);
  });
});
