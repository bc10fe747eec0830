import { describe, expect, it } from "vitest";
import { visibleDevice } from "../../../worker/visibleDevice.ts";

describe("the GPU that a worker sees", () => {
  it("is counted from 0 where nobody has said which may be used", () => {
    expect(visibleDevice("2", undefined)).toBe("2");
    expect(visibleDevice("2", "")).toBe("2");
  });

  it("is one of those that a batch system has given the agent, by number or name", () => {
    expect(visibleDevice("1", "5,7")).toBe("7");
    expect(visibleDevice("0", "GPU-1c2d,MIG-9")).toBe("GPU-1c2d");
  });

  it("is shared where there are more workers than GPUs", () => {
    expect(visibleDevice("3", "3,5,7")).toBe("3");
  });
});
