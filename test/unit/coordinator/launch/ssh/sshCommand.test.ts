import { describe, expect, it } from "vitest";
import { decideNext, patienceMs } from "../../../../../coordinator/launch/decideNext.ts";
import { givenVariables } from "../../../../../coordinator/launch/givenVariables.ts";
import { describeSshEnd } from "../../../../../coordinator/launch/ssh/describeSshEnd.ts";
import { shellWord, sshArguments } from "../../../../../coordinator/launch/ssh/sshCommand.ts";

const host = { destination: "alice@a", host: "a", port: 2222 };

describe("sshArguments", () => {
  it("never asks, puts the user's arguments first and the host behind all options", () => {
    const words = sshArguments(host, { reconnectBudgetMs: 60_000, sshArg: ["-J", "jump"] }, ["node", "a b'c"]);
    expect(words.slice(0, 2)).toEqual(["-J", "jump"]);
    expect(words).toContain("BatchMode=yes");
    expect(words.join(" ")).not.toContain("StrictHostKeyChecking");
    expect(words.slice(-5)).toEqual(["-p", "2222", "--", "alice@a", "node 'a b'\\''c'"]);
  });

  it("notices a dead line before the run's reconnect budget is used up", () => {
    const words = sshArguments(host, { reconnectBudgetMs: 20_000, sshArg: [] }, ["x"]);
    const value = (name: string) => Number(words.find((word) => word.startsWith(`${name}=`))?.split("=")[1]);
    expect(value("ServerAliveInterval") * value("ServerAliveCountMax")).toBeLessThan(20);
  });

  it("quotes what a shell would read", () => {
    expect(["/opt/coord", "$(reboot)", "", "a\nb"].map(shellWord)).toEqual([
      "/opt/coord",
      "'$(reboot)'",
      "''",
      "'a\nb'",
    ]);
  });
});

describe("decideNext", () => {
  it("starts an agent where there was none, and again where one has ended", () => {
    expect(decideNext({ earlier: "none", absentMs: 0 })).toBe("start");
    expect(decideNext({ earlier: "ended", absentMs: 0 })).toBe("start again");
  });

  it("gives an agent whose connection broke time to come back", () => {
    expect(decideNext({ earlier: "connected before", absentMs: patienceMs - 1 })).toBe("wait");
    expect(decideNext({ earlier: "connected before", absentMs: patienceMs })).toBe("start again");
  });
});

describe("describeSshEnd", () => {
  it.each([
    [255, "Host key verification failed.", /^ssh alice@a failed: Host key verification failed\. Connect once by hand/],
    [255, "alice@a: Permission denied (publickey).", /Put your public key there/],
    [127, "sh: node: not found", /^coord is not installed on alice@a .* --remote-command\.$/],
    [1, "boom", /^coord ended with exit code 1 on alice@a: boom\.$/],
  ])("says what to do about exit code %d and %j", (exitCode, stderr, sentence) => {
    expect(describeSshEnd(host, { exitCode, stderr }, false)).toMatch(sentence);
  });
});

describe("givenVariables", () => {
  it("takes values as they are, and names without one from here", () => {
    const env = ["A=1,2", "B", "C=x=y", "D"];
    expect(givenVariables({ env }, { B: "here" })).toEqual({ A: "1,2", B: "here", C: "x=y", D: "" });
  });
});
