import { describe, expect, it } from "vitest";
import { parsePsLine } from "../../../../shared/process/psTable.ts";

describe("parsePsLine", () => {
  it("takes the state, the parent and the date of the start", () => {
    expect(parsePsLine("Ss+      1 Thu Nov 20 21:54:03 2026\n")).toEqual({
      state: "S",
      parent: 1,
      startTime: "Thu Nov 20 21:54:03 2026",
    });
  });

  it("refuses the empty output for a process that is gone", () => {
    expect(parsePsLine("")).toBeUndefined();
    expect(parsePsLine("ps: illegal option")).toBeUndefined();
  });
});
