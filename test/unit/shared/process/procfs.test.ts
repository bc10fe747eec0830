import { describe, expect, it } from "vitest";
import { parseStat } from "../../../../shared/process/procfs.ts";

const rest = "8213 8213 3608 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 229445 3133440 358";

describe("parseStat", () => {
  it("takes the state, the parent and field 22", () => {
    expect(parseStat(`8216 (cat) R ${rest}`)).toEqual({ state: "R", parent: 8213, startTime: "229445" });
  });

  it("is not misled by a command name with blanks and parentheses", () => {
    expect(parseStat(`8216 (evil) S 1 1 (x) Z ${rest}`)).toEqual({ state: "Z", parent: 8213, startTime: "229445" });
  });

  it("keeps a start time that no double can hold", () => {
    const line = `8216 (cat) R ${rest.replace("229445", "9007199254740993")}`;
    expect(parseStat(line)?.startTime).toBe("9007199254740993");
  });

  it("refuses what is no stat line", () => {
    for (const text of ["", "8216", "8216 (cat)", "8216 (cat) R 1 2 3", `8216 (cat) R x ${rest}`]) {
      expect(parseStat(text)).toBeUndefined();
    }
  });
});
