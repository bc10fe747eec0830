import { readdir } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Finding } from "../../coordinator/doctor/finding.ts";
import { CoordHome } from "../support/coord.ts";

let home: CoordHome;
beforeEach(async () => {
  home = await CoordHome.create();
});
afterEach(() => home.remove());

describe("coord doctor", () => {
  it("examines this host, runs the engine, and leaves nothing behind", async () => {
    const { exitCode, stdout } = await home.coord(["doctor", "--json", "--output", home.path("out", "deep")]);
    const findings = JSON.parse(stdout) as Finding[];
    const named = (name: string) => findings.find((finding) => finding.name === name);
    expect(named("node")?.level).toBe("ok");
    expect(named("engine")?.value).toMatch(/^onnx .*: a tiny model loads and runs in \d+ ms$/);
    expect(named("loopback")?.level).toBe("ok");
    expect(named("fsync")?.value).toContain(home.root);
    expect(findings.every(({ level, remedy }) => (level === "ok") === (remedy === undefined))).toBe(true);
    expect(exitCode).toBe(findings.some(({ level }) => level === "problem") ? 3 : 0);
    expect(await readdir(home.root)).toEqual([]);
  });

  it("ends with exit code 3 where the output cannot be written", async () => {
    const { exitCode, stdout } = await home.coord(["doctor", "--output", "/proc/self/nothing"]);
    expect(exitCode).toBe(3);
    expect(stdout).toMatch(/^problem +output +\/proc\/self: /m);
  });
});
