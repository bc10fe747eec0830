import { describe, expect, it } from "vitest";
import { estimateSamples, paddingFactor, spreadLengths } from "../../../../coordinator/plan/dataFacts.ts";
import { measureSpeed } from "../../../../coordinator/plan/measureSpeed.ts";
import { Reservoir } from "../../../../coordinator/plan/reservoir.ts";
import { randomKey } from "../../../../shared/rng.ts";

describe("estimateSamples", () => {
  it("carries the share of usable rows and the mean length over to all rows", () => {
    const facts = estimateSamples({ rows: 1000, lengths: [10, 20, 30, 40], dropped: 1 });
    expect(facts).toMatchObject({ samples: 800, tokensPerSample: 25, longest: 40 });
    expect(facts.source).toMatchObject({ kind: "sample", rows: 1000, sampled: 5 });
    expect(facts.source.standardError).toBeCloseTo(Math.sqrt(500 / 3 / 4), 10);
  });

  it("is exact where every row was looked at", () => {
    expect(estimateSamples({ rows: 3, lengths: [5, 7], dropped: 1 })).toMatchObject({
      samples: 2,
      source: { standardError: 0 },
    });
  });

  it("knows of no samples in a data set without rows", () => {
    expect(estimateSamples({ rows: 0, lengths: [], dropped: 0 })).toMatchObject({ samples: 0, tokensPerSample: 0 });
  });
});

describe("paddingFactor", () => {
  it("is 1 for one sample at a time, and for samples of one length", () => {
    expect(paddingFactor([10, 20, 60], 1)).toBeCloseTo(1, 12);
    expect(paddingFactor([7, 7, 7], 8)).toBeCloseTo(1, 12);
  });

  it("is the expected longest of a batch over the mean length", () => {
    // Of two draws from 10 and 30, three of four pairs hold a 30.
    expect(paddingFactor([10, 30], 2)).toBeCloseTo((0.25 * 10 + 0.75 * 30) / 20, 12);
  });

  it("comes close to the longest sample in a large batch", () => {
    expect(paddingFactor([10, 20, 60], 64)).toBeCloseTo(2, 6);
  });

  it("hardly changes when a large data set is represented by some of its lengths", () => {
    const lengths = Array.from({ length: 50_000 }, (_, index) => 20 + ((index * 7919) % 997));
    const spread = spreadLengths(lengths);
    expect(spread).toHaveLength(1000);
    expect(
      paddingFactor(spread, 8) /
        paddingFactor(
          lengths.sort((a, b) => a - b),
          8,
        ),
    ).toBeCloseTo(1, 2);
  });
});

describe("a reservoir", () => {
  const draw = (size: number, count: number, seed: number) => {
    const reservoir = new Reservoir<number>(size, randomKey("test", seed));
    for (let item = 0; item < count; item++) reservoir.offer(item);
    return reservoir;
  };

  it("keeps everything while there is room", () => {
    expect(draw(5, 3, 0).items).toEqual([0, 1, 2]);
  });

  it("keeps each item of a long stream with the same probability", () => {
    const kept = new Array<number>(20).fill(0);
    for (let seed = 0; seed < 2000; seed++) for (const item of draw(5, 20, seed).items) kept[item]!++;
    expect(draw(5, 20, 1).seen).toBe(20);
    // 500 expected each, with a standard deviation of about 19.
    expect(Math.min(...kept)).toBeGreaterThan(400);
    expect(Math.max(...kept)).toBeLessThan(600);
  });
});

describe("measureSpeed", () => {
  const steps = (...tokens: number[]) =>
    tokens.map((inputTokens, index) => ({ step: index + 1, computeMs: 1000, stepMs: 1200 + index, inputTokens }));

  it("is the median time of a worker's own tokens and of the rest of a step, the cold first steps left out", () => {
    const speed = measureSpeed(steps(1, 2, 3, 103, 203, 303), 2);
    expect(speed?.secondsPerToken).toBeCloseTo(1 / 50, 10);
    expect(speed?.overheadSeconds).toBeCloseTo(0.204, 10);
  });

  it("passes over the step at which a run was resumed", () => {
    const resumed = [
      { step: 4, computeMs: 1000, stepMs: 1000, inputTokens: 400 },
      { step: 5, computeMs: 1000, stepMs: 1000, inputTokens: 500 },
      { step: 5, computeMs: 9000, stepMs: 9000, inputTokens: 100_000 },
    ];
    expect(measureSpeed(resumed, 1)).toBeUndefined();
    expect(measureSpeed([], 1)).toBeUndefined();
  });
});
