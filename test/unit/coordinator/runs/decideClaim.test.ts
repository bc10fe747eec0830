import { describe, expect, it } from "vitest";
import { decideClaim, isTrainingResult } from "../../../../coordinator/runs/decideClaim.ts";

describe("decideClaim", () => {
  it("gives a run its own directory again, and an empty one to anybody", () => {
    const own = { claim: { runId: "a", goesOn: true }, results: ["checkpoint-5"] };
    expect(decideClaim("a", own).decision).toBe("claim");
    expect(decideClaim("a", { claim: undefined, results: [] }).decision).toBe("claim");
  });

  it("refuses checkpoints of another run and of nobody known", () => {
    const other = decideClaim("a", { claim: { runId: "b", goesOn: false }, results: ["checkpoint-5"] });
    expect(other).toEqual({ decision: "refuse", reason: "it holds checkpoint-5 of run b" });
    expect(decideClaim("a", { claim: undefined, results: ["checkpoint-5"] }).decision).toBe("refuse");
  });

  it("refuses the directory of a run that goes on, takes over from one that left nothing", () => {
    expect(decideClaim("a", { claim: { runId: "b", goesOn: true }, results: [] }).decision).toBe("refuse");
    expect(decideClaim("a", { claim: { runId: "b", goesOn: false }, results: [] }).decision).toBe("claim");
  });
});

describe("isTrainingResult", () => {
  it("knows checkpoints and adapters by name", () => {
    expect(["checkpoint-12", "adapter_model.safetensors"].every(isTrainingResult)).toBe(true);
    expect(["checkpoint-", "checkpoint-1.tmp", ".coord-run.json", "notes.txt"].some(isTrainingResult)).toBe(false);
  });
});
