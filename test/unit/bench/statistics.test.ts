import { describe, expect, it } from "vitest";
import { formatNumber, formatSummary, median, summarize } from "../../bench/statistics.ts";

describe("the median", () => {
  it("is the middle value of an odd number, whatever their order", () => {
    expect(median([9, 1, 5])).toBe(5);
  });

  it("is the mean of the two middle values of an even number", () => {
    expect(median([4, 1, 100, 2])).toBe(3);
  });

  it("does not exist for nothing", () => {
    expect(() => median([])).toThrow("no median");
  });
});

describe("a summary", () => {
  it("holds the median and the extremes", () => {
    expect(summarize([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
  });

  it("is written with three significant digits and no exponent", () => {
    expect(formatSummary({ median: 1234.5, min: 0.00123456, max: 98.76 })).toBe("1235 (0.00123–98.8)");
    expect(formatNumber(0)).toBe("0.00");
  });

  it("is scaled to the unit of its row", () => {
    expect(formatSummary({ median: 1500, min: 1000, max: 2000 }, 1 / 1000)).toBe("1.50 (1.00–2.00)");
  });
});
