import { describe, expect, it } from "vitest";
import { parseGpuFacts } from "../../../../coordinator/doctor/gpuFacts.ts";
import * as judge from "../../../../coordinator/doctor/judge.ts";
import { renderFindings } from "../../../../coordinator/doctor/renderFindings.ts";

const gib = 2 ** 30;

describe("the doctor", () => {
  it.each([
    ["v20.19.0", "ok"],
    ["v22.1.0", "ok"],
    ["v20.9.0", "problem"],
    ["v18.20.4", "problem"],
  ])("finds Node %s %s", (version, level) => {
    expect(judge.judgeNode(version, "20.19.0").level).toBe(level);
  });

  it("asks for npm ci where a library is missing or of another version", () => {
    expect(judge.judgeLibrary("a", "1.0.0", undefined)).toMatchObject({ level: "problem", value: "not installed" });
    expect(judge.judgeLibrary("a", "1.0.0", "1.1.0")).toMatchObject({ level: "warning" });
    expect(judge.judgeLibrary("a", "1.0.0", "1.0.0")).toEqual({ name: "a", level: "ok", value: "1.0.0" });
  });

  it("takes a broken engine for a problem", () => {
    expect(judge.judgeEngine({ ok: false, reason: "it ended with SIGSEGV" })).toMatchObject({ level: "problem" });
  });

  it("warns of a control group that grants fewer processors than there are", () => {
    expect(judge.judgeProcessors(8, undefined).level).toBe("ok");
    expect(judge.judgeProcessors(8, 2.5)).toMatchObject({
      level: "warning",
      value: "8, of which the control group allows 2.5",
    });
  });

  it("judges memory by the smaller of what is free and what the control group allows", () => {
    expect(judge.judgeMemory({ total: 64 * gib, available: 32 * gib }).level).toBe("ok");
    expect(judge.judgeMemory({ total: 64 * gib, available: 32 * gib, limit: gib }).level).toBe("warning");
    expect(judge.judgeMemory({ total: 64 * gib, available: 0.1 * gib }).level).toBe("problem");
  });

  it("has a level for each amount of disk, shared memory, open files and sync time", () => {
    expect([100 * gib, gib, 0.1 * gib].map((free) => judge.judgeDisk("/d", free).level)).toEqual([
      "ok",
      "warning",
      "problem",
    ]);
    expect([gib, 2 ** 20, undefined].map((size) => judge.judgeSharedMemory(size).level)).toEqual([
      "ok",
      "warning",
      "warning",
    ]);
    expect([Number.POSITIVE_INFINITY, 1024, 256].map((limit) => judge.judgeOpenFiles(limit).level)).toEqual([
      "ok",
      "warning",
      "problem",
    ]);
    expect(judge.judgeSync("/d", { milliseconds: 3 }).level).toBe("ok");
    expect(judge.judgeSync("/d", { milliseconds: 900 }).level).toBe("warning");
    expect(judge.judgeSync("/d", { reason: "EROFS" })).toMatchObject({ level: "problem", value: "/d: EROFS" });
  });

  it("gives every warning and problem a remedy, on a line of its own", () => {
    const findings = [judge.judgeNode("v18.0.0", "20.19.0"), judge.judgePort({ port: 4711 })];
    expect(renderFindings(findings, false)).toEqual([
      "problem  node      v18.0.0",
      "                   → Install Node 20.19.0 or newer.",
      "ok       loopback  a port can be bound and reached (127.0.0.1:4711)",
      "",
      "1 ok, 0 warnings, 1 problems",
    ]);
  });
});

describe("what nvidia-smi prints", () => {
  const gpus = [
    "0, GPU-a, NVIDIA H200, 143771, 1024, 570.86.15, Disabled, 0",
    "1, GPU-b, NVIDIA H200, 143771, 0, 570.86.15, Enabled, 2",
    "2, GPU-c, NVIDIA L4, 23034, 0, 570.86.15, [N/A], [N/A]",
  ].join("\n");

  it("becomes findings that name the holders of memory and their runs", () => {
    const facts = parseGpuFacts(gpus, "GPU-a, 4711, 1000\nGPU-a, 12, [N/A]\n", (pid) =>
      pid === 4711 ? "20261120-2154-k3f9" : undefined,
    );
    expect(facts.map((gpu) => judge.judgeGpu(gpu))).toEqual([
      {
        name: "GPU 0",
        level: "warning",
        value:
          "NVIDIA H200, 1.0 GiB of 140.4 GiB in use, driver 570.86.15; held by pid 4711 (run 20261120-2154-k3f9) 1000 MiB, pid 12 0 MiB",
        remedy: "coord kill-stale ends those that dead runs left behind.",
      },
      {
        name: "GPU 1",
        level: "problem",
        value: "NVIDIA H200, 0 MiB of 140.4 GiB in use, driver 570.86.15, MIG on, 2 uncorrected ECC errors",
        remedy: "Reset or replace the GPU: its memory returns wrong values.",
      },
      { name: "GPU 2", level: "ok", value: "NVIDIA L4, 0 MiB of 22.5 GiB in use, driver 570.86.15" },
    ]);
  });

  it("is empty where there is no GPU", () => {
    expect(parseGpuFacts("No devices were found", "", () => undefined)).toEqual([]);
  });
});
