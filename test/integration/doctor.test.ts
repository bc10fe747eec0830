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
    const words = ["doctor", "--json", "--output", home.path("out", "deep"), "--port-range", "29500-29600"];
    const { exitCode, stdout } = await home.coord(words, { HF_HUB_OFFLINE: "1" });
    const findings = JSON.parse(stdout) as Finding[];
    const named = (name: string) => findings.find((finding) => finding.name === name);
    expect(named("node")?.level).toBe("ok");
    expect(named("engine")?.value).toMatch(/^onnx .*: a tiny model loads and runs in \d+ ms$/);
    expect(named("loopback")?.level).toBe("ok");
    expect(named("hub")?.value).toContain("HF_HUB_OFFLINE");
    expect(named("port range")?.value).toMatch(/^\d+ of 64 ports tried of 29500-29600 are free$/);
    expect(named("fsync")?.value).toContain(home.root);
    expect(findings.every(({ level, remedy }) => (level === "ok") === (remedy === undefined))).toBe(true);
    expect(exitCode).toBe(findings.some(({ level }) => level === "problem") ? 3 : 0);
    expect(await readdir(home.root)).toEqual([]);
  });

  it("says that neither hub nor host answers, and what to do", async () => {
    const words = ["doctor", "--hosts", "127.0.0.1:9:1", "--ssh-arg=-oConnectTimeout=5", "--output", home.root];
    const { exitCode, stdout } = await home.coord(words, { HF_ENDPOINT: "http://127.0.0.1:9" });
    expect(stdout).toMatch(/^warning +hub +http:\/\/127\.0\.0\.1:9 cannot be reached: /m);
    expect(stdout).toMatch(/^problem +host 127\.0\.0\.1:9:1 +/m);
    expect(exitCode).toBe(3);
  });

  it("ends with exit code 3 where the output cannot be written", async () => {
    const { exitCode, stdout } = await home.coord(["doctor", "--output", "/proc/self/nothing"], {
      HF_HUB_OFFLINE: "1",
    });
    expect(exitCode).toBe(3);
    expect(stdout).toMatch(/^problem +output +\/proc\/self: /m);
  });
});
