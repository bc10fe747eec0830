import { execFileSync } from "node:child_process";
import { cp } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadAdapter } from "../../shared/checkpoint/loadAdapter.ts";
import { CoordHome } from "../support/coord.ts";
import { smallRun } from "../support/smallRun.ts";
import { relativeDifference } from "../support/tinyModel.ts";

/** Python with `torch`, `transformers` and `peft`: pip install torch transformers peft. */
const python = process.env["COORD_PYTHON"] ?? "python3";
const available = (() => {
  try {
    execFileSync(python, ["-c", "import torch, transformers, peft"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

/** A GPT-2 in sys.argv[1], whose linear modules are transposed, and an adapter of it, saved as a Trainer saves one. */
const script = `
import sys, torch
from transformers import GPT2Config, GPT2LMHeadModel
from peft import LoraConfig, get_peft_model
torch.manual_seed(1)
base = GPT2LMHeadModel(GPT2Config(vocab_size=320, n_positions=256, n_embd=32, n_layer=2, n_head=4))
base.save_pretrained(sys.argv[1])
model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules=["c_attn"], use_rslora=True, task_type="CAUSAL_LM"))
for name, parameter in model.named_parameters():
    if "lora_" in name:
        parameter.data.normal_(0, 0.1)
model.save_pretrained(sys.argv[2])`;

describe.skipIf(!available)(`a checkpoint-N saved by PEFT (skipped where ${python} has no torch or peft)`, () => {
  let home: CoordHome;
  let flags: string[];

  beforeAll(async () => {
    home = await CoordHome.create();
    flags = await smallRun(home, 8);
    const env = { ...process.env, HF_HUB_OFFLINE: "1" };
    execFileSync(python, ["-c", script, home.path("gpt2"), home.path("checkpoint-7")], { stdio: "pipe", env });
    for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
      await cp(home.path("model", name), home.path("gpt2", name));
    }
  });

  afterAll(() => home.remove());

  const launch = (output: string, ...more: string[]) =>
    home.coord(["launch", ...flags, "--model", home.path("gpt2"), "--output", home.path(output), ...more]);
  const adapter = [
    ["--init-adapter", "checkpoint-7"],
    ["--lora-r", "4"],
    ["--lora-alpha", "8"],
    ["--target-modules", "c_attn"],
    ["--max-length", "256"],
  ].flat();

  it("is what a run with --init-adapter starts from", async () => {
    const args = [...adapter, "--use-rslora", "true", "--max-steps", "1", "--learning-rate", "1e-12"];
    const { exitCode, stdout } = await launch("out", ...args);
    expect(exitCode, stdout).toBe(0);
    const [before, after] = [await loadAdapter(home.path("checkpoint-7")), await loadAdapter(home.path("out"))];
    expect([...after.tensors.keys()].sort()).toEqual([...before.tensors.keys()].sort());
    for (const [name, { data }] of before.tensors) {
      expect(relativeDifference(after.tensors.get(name)!.data, data), name).toBeLessThan(1e-6);
    }
    expect(after.config).toMatchObject({ r: 4, lora_alpha: 8, use_rslora: true, target_modules: ["c_attn"] });
  });

  it("is refused where its scale would change, with the flag that makes it fit", async () => {
    const { exitCode, stderr, stdout } = await launch("other", ...adapter);
    expect(exitCode).toBe(2);
    expect(stdout + stderr).toContain("give --use-rslora true");
  });

  it("is refused with samples that are longer than the model's positions", async () => {
    const args = [...adapter, "--use-rslora", "true", "--max-steps", "1", "--max-length", "300"];
    const { exitCode, stderr, stdout } = await launch("long", ...args);
    expect(exitCode).not.toBe(0);
    expect(stdout + stderr).toContain("set --max-length to 256 or less");
  });
});
