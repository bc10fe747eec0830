import { execFileSync } from "node:child_process";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CoordHome, sha256 } from "../support/coord.ts";
import { smallRun } from "../support/smallRun.ts";

/** Python with `transformers`, `torch`, `accelerate` and `peft`: pip install transformers torch accelerate peft. */
const python = process.env["COORD_PYTHON"] ?? "python3";
const available = (() => {
  try {
    execFileSync(python, ["-c", "import torch, transformers, accelerate, peft"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

/** Steps that the Trainer takes to its checkpoint; twenty say as much as thousands do, in seconds. */
const steps = Number(process.env["TRAINER_STEPS"] ?? 20);

describe.skipIf(!available)(`HuggingFace's Trainer (skipped where ${python} has no accelerate)`, () => {
  let home: CoordHome;
  beforeAll(async () => {
    home = await CoordHome.create();
    await smallRun(home);
    const rows = Array.from({ length: 24 }, (_, day) => ({
      text: `Day ${day}: first sleep, then look again, day ${day}.`,
    }));
    await writeFile(home.path("texts.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const args = [
      "test/interop/trainer_reference.py",
      home.path("model"),
      home.path("texts.jsonl"),
      home.path("trainer"),
      String(steps),
    ];
    execFileSync(python, args, { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, HF_HUB_OFFLINE: "1" } });
  }, 600_000);
  afterAll(() => home.remove());

  it("leaves a checkpoint that is imported and goes on where its loss was", async () => {
    const checkpoint = home.path("trainer", `checkpoint-${steps}`);
    const output = home.path("out");
    const flags = ["--learning-rate", "0.01", "--lr-scheduler-type", "constant", "--threads-per-worker", "1"];
    const report = await home.json<{ run: string; leftOut: string[] }>([
      ...["import", checkpoint, "--model", home.path("model"), "--data", home.path("texts.jsonl")],
      ...["--output", output, ...flags],
    ]);
    expect(report).toMatchObject({
      step: steps,
      maxSteps: steps + 10,
      modules: 14,
      // Each step, and two held-out losses.
      logged: steps + 2,
      settings: {
        ...{ loraR: 4, loraAlpha: 8, perDeviceTrainBatchSize: 1, saveSteps: steps, evalSteps: steps / 2 },
        earlyStoppingPatience: 7,
      },
    });
    const pickles = (await readdir(checkpoint)).filter((name) => /\.(pt|pth|bin)$/.test(name)).sort();
    expect(report.leftOut.map((clause) => clause.split(" ")[0])).toEqual(pickles);
    expect(pickles).toContain("optimizer.pt");
    // The weights are the Trainer's, bit for bit, whatever the order of the tensors.
    expect(await sha256(join(output, `checkpoint-${steps}`, "adapter_model.safetensors"))).toBe(
      await sha256(join(checkpoint, "adapter_model.safetensors")),
    );

    const resumed = await home.coord(["resume", output]);
    expect(resumed, resumed.stderr).toMatchObject({ exitCode: 0 });
    const state = JSON.parse(await readFile(join(output, `checkpoint-${steps + 10}`, "trainer_state.json"), "utf8"));
    const losses = state.log_history.filter((line: { loss?: number }) => line.loss !== undefined);
    expect(losses.map(({ step }: { step: number }) => step)).toEqual(
      Array.from({ length: steps + 10 }, (_, at) => at + 1),
    );
    const [first, before, after] = [losses[0].loss, losses[steps - 1].loss, losses[steps].loss];
    process.stdout.write(`Trainer's losses ${first} … ${before}; here then ${after} … ${losses.at(-1).loss}\n`);
    expect(Math.abs(after - before)).toBeLessThan(0.2 * (first - before));
    const later = losses.slice(steps).map(({ loss }: { loss: number }) => loss);
    expect(Math.max(...later)).toBeLessThan((first + before) / 2);
  });

  it("reads our trainer_state.json, and its EarlyStoppingCallback goes on counting where ours was", async () => {
    const path = home.path("out", `checkpoint-${steps + 10}`, "trainer_state.json");
    const script = `
import json, sys
from transformers import EarlyStoppingCallback, TrainerState
state = TrainerState.load_from_json(sys.argv[1])
saved = state.stateful_callbacks["EarlyStoppingCallback"]
callback = EarlyStoppingCallback(**saved["args"])
for name, value in saved["attributes"].items():
    assert hasattr(callback, name), name
    setattr(callback, name, value)
print(json.dumps([state.global_step, state.best_metric, callback.early_stopping_patience,
                  callback.early_stopping_threshold, callback.early_stopping_patience_counter]))`;
    const stdout = execFileSync(python, ["-c", script, path], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    const state = JSON.parse(await readFile(path, "utf8"));
    const { early_stopping_patience_counter: counter } = state.stateful_callbacks.EarlyStoppingCallback.attributes;
    expect(JSON.parse(stdout)).toEqual([steps + 10, state.best_metric, 7, 0.001, counter]);
  });

  it("takes our checkpoint back: PEFT loads what was trained on", () => {
    const script = `
import sys, warnings
from peft import PeftModel
from transformers import AutoModelForCausalLM
warnings.simplefilter("error", UserWarning)
PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(sys.argv[1]), sys.argv[2])`;
    execFileSync(python, ["-c", script, home.path("model"), home.path("out", `checkpoint-${steps + 10}`)], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, HF_HUB_OFFLINE: "1" },
    });
  });
});
