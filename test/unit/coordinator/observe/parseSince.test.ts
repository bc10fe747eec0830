import { describe, expect, it } from "vitest";
import { parseSince } from "../../../../coordinator/observe/parseSince.ts";
import { startMs } from "./literals.ts";

const at = (...parts: [number, number, number, number?, number?, number?]) => new Date(...parts).getTime();

describe("parseSince", () => {
  it.each([
    ["90s", startMs - 90_000],
    ["10m", startMs - 600_000],
    ["1h30m", startMs - 5_400_000],
    ["0.5d", startMs - 43_200_000],
    ["21:50", at(2026, 10, 20, 21, 50)],
    ["21:54:03", startMs],
    ["2026-11-19", at(2026, 10, 19)],
    ["2026-11-20 08:30", at(2026, 10, 20, 8, 30)],
    ["2026-11-20T08:30:00Z", Date.UTC(2026, 10, 20, 8, 30)],
  ])("reads %s", (text, expected) => expect(parseSince(text, startMs)).toBe(expected));

  it("takes a time that is still to come for one of yesterday", () => {
    expect(parseSince("23:00", startMs)).toBe(at(2026, 10, 19, 23));
  });

  it.each(["", "yesterday", "10", "25:00", "2026-13-01", "10x", "-5m"])("refuses %j", (text) => {
    expect(() => parseSince(text, startMs)).toThrow(/^--since takes how long ago/);
  });
});
