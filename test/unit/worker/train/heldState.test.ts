import { describe, expect, it } from "vitest";
import { HeldState, initialState } from "../../../../worker/train/heldState.ts";

const layout = { tensors: [{ name: "w", shape: [1], offset: 0 }], elements: 1 };

function held(): HeldState {
  const state = new HeldState();
  state.replace(initialState(layout, Float32Array.of(1)));
  return state;
}

describe("HeldState", () => {
  it("keeps the old state until the vote is through", () => {
    const state = held();
    state.prepare().parameters[0] = 2;
    expect(state.committed?.parameters[0]).toBe(1);
    state.commit();
    expect(state.committed).toMatchObject({ step: 1 });
    expect(state.committed?.parameters[0]).toBe(2);
  });

  it("drops the update of a step that was called off", () => {
    const state = held();
    state.prepare().parameters[0] = 2;
    expect(state.settle(0).parameters[0]).toBe(1);
    expect(state.pendingStep).toBe(0);
  });

  it("takes over the update of a step that was committed without this worker hearing of it", () => {
    const state = held();
    state.prepare().parameters[0] = 2;
    expect(state.pendingStep).toBe(1);
    expect(state.settle(1).parameters[0]).toBe(2);
  });

  it("refuses to go on from a step that it does not hold", () => {
    expect(() => held().settle(5)).toThrow("This worker holds step 0, the run is at step 5.");
  });

  it("never hands out the vectors of the committed state to be overwritten", () => {
    const state = held();
    for (let step = 1; step <= 4; step++) {
      const next = state.prepare();
      expect(next.parameters).not.toBe(state.committed?.parameters);
      next.parameters[0] = step;
      state.commit();
      expect(state.committed).toMatchObject({ step });
    }
  });
});
