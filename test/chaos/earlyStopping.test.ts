import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CoordHome, finalDigests, sha256 } from "../support/coord.ts";
import { smallRun } from "../support/smallRun.ts";

/** No loss is ever better than the first by so much: how often it was measured decides when training ends. */
const hopeless = ["--early-stopping-threshold", "100"];

describe("early stopping", () => {
  let home: CoordHome;
  let flags: string[];
  let undisturbed: { adapter: string; optimizer: string };
  const patience = (count: number) => [...hopeless, "--early-stopping-patience", String(count)];
  const stateAt = async (output: string, step: number) =>
    JSON.parse(await readFile(join(output, `checkpoint-${step}`, "trainer_state.json"), "utf8"));
  beforeAll(async () => {
    home = await CoordHome.create();
    const shape = ["--nodes", "1", "--gpus", "2", "--eval-split", "0.2", "--eval-steps", "2", "--save-steps", "3"];
    flags = [...(await smallRun(home)), ...shape, "--max-steps", "20"];
    const output = home.path("undisturbed");
    const result = await home.coord(["launch", ...flags, ...patience(2), "--output", output]);
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    expect(result.stdout).toContain("Finished early, at step 4 of 20. The held-out loss has not improved");
    undisturbed = await finalDigests(output, 4);
  });
  afterAll(() => home.remove());

  it("ends the run at the step whose held-out loss decided it, with that step's checkpoint and adapter", async () => {
    const state = await stateAt(home.path("undisturbed"), 4);
    expect(state).toMatchObject({
      global_step: 4,
      stateful_callbacks: {
        EarlyStoppingCallback: { attributes: { early_stopping_patience_counter: 2 } },
        TrainerControl: { args: { should_training_stop: true } },
      },
    });
    expect(state.log_history.at(-1)).toMatchObject({ step: 4, eval_loss: expect.any(Number) });
    expect(await sha256(home.path("undisturbed", "checkpoint-4", "adapter_model.safetensors"))).toBe(
      undisturbed.adapter,
    );
    // It has ended: coming back to it trains no further, unless it is given more patience.
    const again = await home.coord(["resume", home.path("undisturbed")]);
    expect(again, again.stderr).toMatchObject({ exitCode: 0 });
    const status = await home.json<{ state: string; step: number }>(["status", home.path("undisturbed")]);
    expect(status).toMatchObject({ state: "finished", step: 4 });
  });

  it.each([
    ["evaluation-begun@4@0/0"],
    ["evaluation-begun@4@0/1"],
    ["state-uploading@4@0/0"],
    ["checkpoint-due@4@coordinator"],
  ])("ends with the same bytes when a process is killed at %s", async (fault) => {
    const output = home.path(fault.replaceAll("/", "-"));
    const marker = `${output}.fired`;
    const env = { COORD_FAILPOINT: fault, COORD_FAILPOINT_MARKER: marker };
    const result = await home.coord(["launch", ...flags, ...patience(2), "--output", output], env);
    expect(result, `${result.stderr}\n${result.stdout}`).toMatchObject({ exitCode: 0 });
    expect(existsSync(marker), "the fault has fired").toBe(true);
    expect(await finalDigests(output, 4)).toEqual(undisturbed);
    expect((await stateAt(output, 4)).log_history).toEqual((await stateAt(home.path("undisturbed"), 4)).log_history);
  });

  it("keeps its patience when the run is resumed", async () => {
    const output = home.path("resumed");
    // Held out at 0, 2, 4 and, as the last step, 5: three times no better.
    const first = await home.coord(["launch", ...flags, ...patience(4), "--max-steps", "5", "--output", output]);
    expect(first, first.stderr).toMatchObject({ exitCode: 0 });
    expect(first.stdout).toContain("Finished after 5 steps.");
    const second = await home.coord(["resume", output, "--max-steps", "20"]);
    expect(second, second.stderr).toMatchObject({ exitCode: 0 });
    expect(second.stdout).toContain("Finished early, at step 6 of 20.");
  });

  it("leaves the adapter with the best held-out loss with --load-best-model-at-end", async () => {
    const output = home.path("best");
    const best = ["--load-best-model-at-end", "--save-steps", "2", "--learning-rate", "1", "--max-steps", "8"];
    const result = await home.coord(["launch", ...flags, ...best, "--output", output]);
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    const { log_history } = (await stateAt(output, 8)) as { log_history: { step: number; eval_loss?: number }[] };
    const saved = log_history.filter(({ eval_loss, step }) => eval_loss !== undefined && step > 0);
    const { step } = saved.toSorted((a, b) => a.eval_loss! - b.eval_loss! || b.step - a.step)[0]!;
    expect(await sha256(join(output, "adapter_model.safetensors"))).toBe(
      await sha256(join(output, `checkpoint-${step}`, "adapter_model.safetensors")),
    );
  });
});
