import { describe, expect, it } from "vitest";
import {
  listPatterns,
  parsePatterns,
  patternProblems,
  rankOf,
  scaleOf,
} from "../../../../shared/checkpoint/loraScaling.ts";

const module = "model.layers.1.self_attn.q_proj";

describe("the scale of a module's adapter", () => {
  it("is alpha over rank, or over the root of the rank", () => {
    expect(scaleOf({ r: 4, lora_alpha: 8 }, module)).toBe(2);
    expect(scaleOf({ r: 4, lora_alpha: 8, use_rslora: true }, module)).toBe(4);
  });

  it("follows the first pattern that matches the name to its end, from a dot on", () => {
    const rank = (rank_pattern: Record<string, number>) => rankOf({ r: 4, lora_alpha: 8, rank_pattern }, module);
    expect(rank({ q_proj: 2, "self_attn.*": 3 })).toBe(2);
    expect(rank({ "self_attn.*": 3, q_proj: 2 })).toBe(3);
    expect(rank({ [module]: 5 })).toBe(5);
    expect(rank({ _proj: 2, q_pro: 2, "layers.0.*": 2 })).toBe(4);
    expect(rank({ "k_proj|q_proj": 6 })).toBe(6);
    expect(scaleOf({ r: 4, lora_alpha: 8, rank_pattern: { q_proj: 2 }, alpha_pattern: { q_proj: 3 } }, module)).toBe(
      1.5,
    );
  });
});

describe("patterns on the command line", () => {
  it("are read and listed", () => {
    const entries = ["q_proj=16", "layers.0.*=4"];
    expect(parsePatterns(entries)).toEqual({ q_proj: 16, "layers.0.*": 4 });
    expect(listPatterns(parsePatterns(entries))).toEqual(entries);
    expect(listPatterns()).toEqual([]);
  });

  it("are refused when they are no pattern with a positive number", () => {
    expect(patternProblems("--rank-pattern", ["q_proj=16"])).toEqual([]);
    expect(patternProblems("--alpha-pattern", ["q_proj=0.5"])).toEqual([]);
    for (const entry of ["q_proj", "=4", "q_proj=", "q_proj=0", "q_proj=1.5", "(=4"]) {
      expect(patternProblems("--rank-pattern", [entry])).toEqual([
        `--rank-pattern wants MODULE=NUMBER, such as q_proj=16, got ${JSON.stringify(entry)}.`,
      ]);
    }
  });
});
