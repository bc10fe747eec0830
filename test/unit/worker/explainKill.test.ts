import { describe, expect, it } from "vitest";
import { explainKill } from "../../../worker/explainKill.ts";

const nothing = { pid: 4711, limitKillsBefore: undefined, limitKillsAfter: undefined, kernelLog: undefined };
const line = "Out of memory: Killed process 4711 (node) total-vm:9123456kB, anon-rss:8123456kB";

describe("explainKill", () => {
  it.each([
    ["the kernel", { kernelLog: ["x", `[12.3] ${line}`] }, /host ran out of memory/],
    [
      "a memory limit, by the kernel's log",
      { kernelLog: [`Memory cgroup out of memory: Killed process 4711 (node)`] },
      /memory limit/,
    ],
    ["a memory limit, by its counter", { limitKillsBefore: 2, limitKillsAfter: 3 }, /memory limit/],
    ["somebody", { limitKillsBefore: 2, limitKillsAfter: 2, kernelLog: [line.replace("4711", "47110")] }, /somebody/],
    ["who knows", {}, /does not show why/],
  ])("names %s", (_, evidence, sentence) => {
    expect(explainKill({ ...nothing, ...evidence })).toMatch(sentence);
  });
});
