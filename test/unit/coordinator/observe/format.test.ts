import { describe, expect, it } from "vitest";
import { formatCount, formatDuration, formatLoss, formatRate } from "../../../../coordinator/observe/format.ts";
import { wantsColor } from "../../../../coordinator/observe/style.ts";
import { fitWidth, packFields } from "../../../../coordinator/observe/textWidth.ts";

describe("figures", () => {
  it.each([
    [0, "0"],
    [999, "999"],
    [999.6, "1000"],
    [1000, "1.0k"],
    [999_960, "1.0M"],
    [12_345, "12.3k"],
    [2.5e9, "2.5G"],
  ])("counts %d as %s", (count, text) => expect(formatCount(count)).toBe(text));

  it.each([
    [-1, "0s"],
    [59.6, "1m 00s"],
    [3661, "1h 01m"],
    [266_400, "3d 2h"],
  ])("writes %d seconds as %s", (seconds, text) => expect(formatDuration(seconds)).toBe(text));

  it("does not hide a loss that is no number", () => expect(formatLoss(Number.NaN)).toBe("NaN"));

  it("writes learning rates in powers of ten", () => {
    expect(formatRate(2e-4)).toBe("2.00e-4");
    expect(formatRate(0)).toBe("0");
  });
});

describe("fitWidth", () => {
  it("counts wide characters twice and never splits one", () => {
    expect(fitWidth("医学问答", 8)).toBe("医学问答");
    expect(fitWidth("医学问答", 7)).toBe("医学问…");
    expect(fitWidth("医学问答", 6)).toBe("医学…");
    expect(fitWidth("abc", 0)).toBe("");
  });
});

describe("packFields", () => {
  it("fills lines in order", () => {
    expect(packFields(["aaa", "bbb", "cc"], 8)).toEqual([["aaa", "bbb"], ["cc"]]);
  });
});

describe("wantsColor", () => {
  it.each([
    [true, {}, true],
    [false, {}, false],
    [true, { NO_COLOR: "1" }, false],
    [true, { NO_COLOR: "" }, true],
    [true, { TERM: "dumb" }, false],
  ])("terminal %s with %o: %s", (terminal, environment, wanted) =>
    expect(wantsColor(terminal, environment)).toBe(wanted),
  );
});
