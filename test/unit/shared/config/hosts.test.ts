import { describe, expect, it } from "vitest";
import {
  firstRankOf,
  formatHost,
  gpusOfNodes,
  parseHost,
  parseHostfile,
  worldSizeOf,
} from "../../../../shared/config/hosts.ts";

describe("parseHost", () => {
  it.each([
    ["a", { destination: "a", host: "a" }],
    ["a:8", { destination: "a", host: "a", gpus: 8 }],
    ["alice@a.example:2222", { destination: "alice@a.example", host: "a.example", port: 2222 }],
    ["alice@a:22:4", { destination: "alice@a", host: "a", port: 22, gpus: 4 }],
    ["[fd00::1]:2", { destination: "fd00::1", host: "fd00::1", gpus: 2 }],
  ])("reads %s, and writes it again", (text, entry) => {
    expect(parseHost(text)).toEqual(entry);
    expect(formatHost(entry)).toBe(text);
  });

  it.each(["-oProxyCommand=reboot", "a b", "a;b", "", "a:0", "a:22:65", "a:99999", "@a", "a:1:2:3", "$(a)"])(
    "refuses %j in a sentence",
    (text) => expect(parseHost(text)).toMatch(/\.$/),
  );
});

describe("parseHostfile", () => {
  it("reads DeepSpeed's form, comments and ports", () => {
    const text = "# nodes\nworker-1 slots=4\n\nalice@worker-2:2222 slots=8 # big\nworker-3\n";
    expect(parseHostfile(text)).toEqual(["worker-1:4", "alice@worker-2:2222:8", "worker-3"]);
  });

  it("names the line that is wrong", () => {
    expect(parseHostfile("a slots=2\nb slots=two\n")).toMatch(/^line 2: /);
    expect(parseHostfile("a max_slots=2\n")).toMatch(/^line 1: /);
    expect(parseHostfile("# none\n")).toBe("it names no host.");
  });
});

describe("nodes of different sizes", () => {
  const config = { launcher: "ssh", hosts: ["a:2", "b", "c:3"], nodes: 3, gpus: 1 } as const;

  it("have the workers that their host names, or --gpus", () => {
    expect(gpusOfNodes({ ...config, hosts: [...config.hosts] })).toEqual([2, 1, 3]);
    expect(worldSizeOf({ ...config, hosts: [...config.hosts] })).toBe(6);
    expect(worldSizeOf({ launcher: "local", hosts: [], nodes: 2, gpus: 4 })).toBe(8);
  });

  it("number their ranks one after the other", () => {
    expect([0, 1, 2].map((nodeRank) => firstRankOf([2, 1, 3], nodeRank))).toEqual([0, 2, 3]);
  });
});
