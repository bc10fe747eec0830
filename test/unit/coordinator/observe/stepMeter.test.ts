import { describe, expect, it } from "vitest";
import { StepMeter } from "../../../../coordinator/observe/stepMeter.ts";

describe("StepMeter", () => {
  it("gives duration, rate and remaining time from the clock that it is handed", () => {
    const meter = new StepMeter(10, 1000);
    meter.mark(5000);
    expect(meter.commit(1, 5500, 100)).toEqual({
      stepMs: 500,
      tokensPerSecond: 200,
      etaSeconds: 4.5,
      inputTokens: 1100,
    });
    expect(meter.commit(2, 6000, 300)).toMatchObject({ stepMs: 500, tokensPerSecond: 400, etaSeconds: 4 });
  });

  it("does not count a pause between generations", () => {
    const meter = new StepMeter(10, 0);
    meter.mark(0);
    meter.commit(1, 1000, 100);
    meter.mark(61_000);
    expect(meter.commit(2, 62_000, 100)).toMatchObject({ stepMs: 1000, tokensPerSecond: 100, etaSeconds: 8 });
  });
});
