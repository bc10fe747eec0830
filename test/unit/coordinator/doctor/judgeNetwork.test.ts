import { describe, expect, it } from "vitest";
import { judgeHostAnswer, judgeHub, judgePorts } from "../../../../coordinator/doctor/judgeNetwork.ts";

const facts = { hostname: "b", node: "v20.20.2", version: "0.1.0", processors: 96, gpus: 8, home: "/root/.coord" };

describe("judgeHostAnswer", () => {
  it("says what a host is and how far its clock is off, as exactly as the answer tells", () => {
    const answer = { facts: { ...facts, clockMs: 11_600 }, askedMs: 10_000, answeredMs: 10_600 };
    expect(judgeHostAnswer("b:8", answer, [])).toEqual([
      {
        name: "host b:8",
        level: "ok",
        value: "coord 0.1.0, Node v20.20.2, 96 processors, 8 GPUs, clock +1.30 s (± 0.30 s)",
      },
    ]);
    const behind = { ...answer, facts: { ...facts, clockMs: 9300 } };
    expect(judgeHostAnswer("b:8", behind, [])[0]!.value).toContain("clock −1.00 s (± 0.30 s)");
  });

  it("has a line for everything that is wrong, and nothing else of a host that does not answer", () => {
    const problems = [
      { fatal: true, problem: "Connection refused" },
      { fatal: false, problem: "8 workers for 4 GPUs" },
    ];
    expect(judgeHostAnswer("b", undefined, problems).map(({ level, value }) => [level, value])).toEqual([
      ["problem", "Connection refused"],
      ["warning", "8 workers for 4 GPUs"],
    ]);
  });
});

describe("judgeHub", () => {
  it.each([
    ["offline" as const, "ok"],
    [{ status: 200, tookMs: 30 }, "ok"],
    [{ status: 401, tookMs: 30 }, "ok"],
    [{ status: 503, tookMs: 30 }, "warning"],
    [{ reason: "getaddrinfo ENOTFOUND" }, "warning"],
  ])("takes %j for %s", (result, level) => expect(judgeHub("https://hub", result).level).toBe(level));
});

describe("judgePorts", () => {
  it.each([
    [64, 64, "ok"],
    [64, 2, "warning"],
    [2, 2, "ok"],
    [64, 0, "problem"],
  ])("of %i tried, %i free is %s", (tried, free, level) => {
    expect(judgePorts("29500-29600", tried, free).level).toBe(level);
  });
});
