import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CoordHome, finalDigests } from "../support/coord.ts";
import { smallRun } from "../support/smallRun.ts";

const steps = 6;

describe("numbers that are wrong", () => {
  let home: CoordHome;
  let flags: string[];
  beforeAll(async () => {
    home = await CoordHome.create();
    const shape = ["--nodes", "1", "--gpus", "3", "--max-steps", `${steps}`, "--save-steps", "2"];
    flags = [...(await smallRun(home)), ...shape];
  });
  afterAll(() => home.remove());

  const inject = (fault: string, name: string) => ({
    COORD_FAILPOINT: fault,
    COORD_FAILPOINT_MARKER: home.path(`${name}.fired`),
  });
  const eventsOf = (run: string) => readFileSync(join(home.home, "runs", run, "events.jsonl"), "utf8");
  const runAt = async (output: string) =>
    (await home.json<{ run: string; output: string }[]>(["list"])).find((entry) => entry.output === output)!.run;

  it("a NaN in a gradient ends the run, and rank, worker and tensor are named", async () => {
    const output = home.path("stop");
    const result = await home.coord(["launch", ...flags, "--output", output], inject("gradient-nan@3@0/1", "stop"));
    expect(existsSync(home.path("stop.fired")), "the fault has fired").toBe(true);
    expect(result.exitCode, result.stderr).toBe(1);
    expect(result.stderr + result.stdout).toMatch(
      /The gradient of slot 1 \(rank 1, worker 0\/1 on \S+\) is NaN or infinite at step 3, first in base_model\.\S+lora_\S+\.weight\./,
    );
    expect(result.stderr + result.stdout).toContain("--on-nan skip");
  });

  it("with --on-nan skip that step changes nothing, everywhere, and the run goes on", async () => {
    const output = home.path("skip");
    const launch = ["launch", ...flags, "--on-nan", "skip", "--output", output];
    const result = await home.coord(launch, inject("gradient-nan@3@0/1", "skip"));
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    expect(existsSync(home.path("skip.fired")), "the fault has fired").toBe(true);
    const events = eventsOf(await runAt(output));
    expect(events).toMatch(/Step 3 is skipped: it changes nothing\. The gradient of slot 1 \(rank 1, worker 0\/1/);
    for (const line of events.trim().split("\n")) expect(line).not.toMatch(/"(loss|gradientNorm)":null/);
    const state = await readFile(join(output, `checkpoint-${steps}`, "trainer_state.json"), "utf8");
    expect(state).not.toContain("NaN");
    const adapter = await home.json<unknown>(["checkpoints", "verify", output]).catch(() => undefined);
    expect(adapter).toBeDefined();
  });

  it("a worker whose parameters differ is named and replaced, and the run ends with the same bytes", async () => {
    const undisturbed = home.path("undisturbed");
    const before = await home.coord(["launch", ...flags, "--output", undisturbed]);
    expect(before, before.stderr).toMatchObject({ exitCode: 0 });
    const output = home.path("differs");
    const launch = ["launch", ...flags, "--hash-every", "2", "--output", output];
    // Step 3 is not compared: what went wrong there shows at step 4.
    const result = await home.coord(launch, inject("parameters-differ@3@0/2", "differs"));
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    expect(existsSync(home.path("differs.fired")), "the fault has fired").toBe(true);
    const events = eventsOf(await runAt(output));
    expect(events).toContain("After the same step worker 0/2 holds other parameters than worker 0/0, 0/1.");
    expect(await finalDigests(output, steps)).toEqual(await finalDigests(undisturbed, steps));
  });
});
