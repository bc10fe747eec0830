import { describe, expect, it } from "vitest";
import { createRunId, isRunId } from "../../../../coordinator/runs/runId.ts";

describe("createRunId", () => {
  it("is made of local time and four characters that are hard to mix up", () => {
    const now = new Date(2026, 10, 20, 21, 54);
    expect(createRunId(now, () => 0)).toBe("20261120-2154-2222");
    expect(createRunId(now, () => 1 - 2 ** -32)).toBe("20261120-2154-zzzz");
    expect(createRunId(new Date(2026, 0, 2, 3, 4), () => 0.5)).toMatch(/^20260102-0304-[2-9b-z]{4}$/);
  });
});

describe("isRunId", () => {
  it("takes names and no paths", () => {
    expect(isRunId("20261120-2154-k3f9")).toBe(true);
    for (const name of ["", ".", "..", "../x", "a/b", "a\0", "-rf", ".hidden", "x".repeat(129)]) {
      expect(isRunId(name)).toBe(false);
    }
  });
});
