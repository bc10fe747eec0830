import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CoordHome } from "../support/coord.ts";
import { smallRun } from "../support/smallRun.ts";

let home: CoordHome;
beforeEach(async () => {
  home = await CoordHome.create();
});
afterEach(() => home.remove());

async function lossesOf(flags: readonly string[]): Promise<number[]> {
  const runId = await home.launch([...flags, "--max-steps", "4", "--save-steps", "0"]);
  expect((await home.coord(["attach", runId])).exitCode).toBe(0);
  const lines = await home.metrics(runId);
  return lines.filter((line) => "learningRate" in line).map((line) => line["loss"]!);
}

describe("memory", () => {
  it("that a run has not is said before anything is started: the largest term, and the micro-batch that fits", async () => {
    const flags = [...(await smallRun(home)), "--per-device-train-batch-size", "4000000", "--output", home.path("out")];
    const { exitCode, stderr } = await home.coord(["launch", ...flags]);
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(/needs about [\d.]+ TiB on this host, of which [\d.]+ GiB can be had; activations are the/);
    expect(stderr).toMatch(/The largest micro-batch that fits is \d+; --per-device-train-batch-size \d+/);
    expect(existsSync(home.home)).toBe(false);
    expect(existsSync(home.path("out"))).toBe(false);
  });

  it("decides the micro-batch with --auto-find-batch-size, and the global batch stays the same", async () => {
    const flags = [...(await smallRun(home)), "--per-device-train-batch-size", "4000000", "--auto-find-batch-size"];
    const { exitCode, stdout } = await home.coord(["launch", "--dry-run", ...flags]);
    expect(exitCode).toBe(0);
    const value = (flag: string) => Number(new RegExp(`^${flag} +(\\d+) `, "m").exec(stdout)?.[1]);
    const batch = value("per-device-train-batch-size");
    expect(batch).toBeLessThanOrEqual(4096);
    expect(batch * value("gradient-accumulation-steps")).toBe(4_000_000);
  });

  it("of one layer is enough with --gradient-checkpointing: losses stay, dropout included; in 4 bits they are near", async () => {
    const flags = await smallRun(home);
    const plain = await lossesOf([...flags, "--output", home.path("plain")]);
    const layered = await lossesOf([...flags, "--gradient-checkpointing", "--output", home.path("layered")]);
    const fourBit = await lossesOf([...flags, "--load-in-4bit", "--gpus", "2", "--output", home.path("four")]);
    expect(plain).toHaveLength(4);
    layered.forEach((loss, step) => {
      expect(loss).toBeCloseTo(plain[step]!, 4);
    });
    for (const loss of fourBit) expect(Math.abs(loss - plain[0]!)).toBeLessThan(0.5);
    const adapter = JSON.parse(await readFile(home.path("four", "adapter_config.json"), "utf8"));
    expect(adapter).toMatchObject({ r: 8, peft_type: "LORA" });
  });
});
