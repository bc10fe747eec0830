import { execFileSync } from "node:child_process";
import { cp, readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadAdapter } from "../../shared/checkpoint/loadAdapter.ts";
import { buildModel } from "../../worker/model/model.ts";
import { CoordHome } from "../support/coord.ts";
import { logitsOf } from "../support/logits.ts";
import { smallRun } from "../support/smallRun.ts";
import { randomBatch, relativeDifference, tinyLora } from "../support/tinyModel.ts";

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

/** The logits of the model in sys.argv[1] for the tokens in sys.argv[2] with each of the adapters that follow. */
const logitsScript = `
import json, sys, torch, warnings
from transformers import AutoModelForCausalLM
from peft import PeftModel
warnings.simplefilter("error", UserWarning)
warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False")
ids = torch.tensor([json.loads(sys.argv[2])])
def logits(adapter):
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(sys.argv[1]), adapter).eval()
    with torch.no_grad():
        return model(input_ids=ids).logits.flatten().tolist()
print(json.dumps([logits(adapter) for adapter in sys.argv[3:]]))`;

describe.skipIf(!available)(`a checkpoint-N saved by PEFT (skipped where ${python} has no torch or peft)`, () => {
  let home: CoordHome;
  let flags: string[];

  beforeAll(async () => {
    home = await CoordHome.create();
    flags = await smallRun(home, 8);
    const env = { ...process.env, HF_HUB_OFFLINE: "1" };
    execFileSync(python, ["-c", script, home.path("gpt2"), home.path("checkpoint-2000")], { stdio: "pipe", env });
    for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
      await cp(home.path("model", name), home.path("gpt2", name));
    }
  });

  afterAll(() => home.remove());

  const launch = (output: string, ...more: string[]) =>
    home.coord(["launch", ...flags, "--model", home.path("gpt2"), "--output", home.path(output), ...more]);
  const adapter = [
    ["--init-adapter", "checkpoint-2000"],
    ["--lora-r", "4"],
    ["--lora-alpha", "8"],
    ["--target-modules", "c_attn"],
    ["--max-length", "256"],
  ].flat();

  it("is what a run with --init-adapter starts from", async () => {
    const args = [...adapter, "--use-rslora", "true", "--max-steps", "1", "--learning-rate", "1e-12"];
    const { exitCode, stdout } = await launch("out", ...args);
    expect(exitCode, stdout).toBe(0);
    const [before, after] = [await loadAdapter(home.path("checkpoint-2000")), await loadAdapter(home.path("out"))];
    expect([...after.tensors.keys()].sort()).toEqual([...before.tensors.keys()].sort());
    for (const [name, { data }] of before.tensors) {
      expect(relativeDifference(after.tensors.get(name)!.data, data), name).toBeLessThan(1e-6);
    }
    expect(after.config).toMatchObject({ r: 4, lora_alpha: 8, use_rslora: true, target_modules: ["c_attn"] });
  });

  it("is trained on here, and PEFT gives the logits that we give with what came of it", async () => {
    const args = [...adapter, "--use-rslora", "true", "--max-steps", "4", "--learning-rate", "0.01"];
    const { exitCode, stdout } = await launch("trained", ...args);
    expect(exitCode, stdout).toBe(0);
    const batch = randomBatch([12], 0, 320);
    const lora = { ...tinyLora, r: 4, alpha: 8, targetModules: ["c_attn"], useRslora: true };
    const { layout } = buildModel(JSON.parse(await readFile(home.path("gpt2", "config.json"), "utf8")), "", lora);
    const own = async (directory: string) => {
      const { tensors } = await loadAdapter(home.path(directory));
      const flat = new Float32Array(layout.elements);
      for (const { name, offset } of layout.tensors) flat.set(tensors.get(name)!.data, offset);
      return logitsOf(home.path("gpt2"), lora, flat, batch);
    };
    const ids = JSON.stringify([...batch.inputIds]);
    const env = { ...process.env, HF_HUB_OFFLINE: "1" };
    const directories = ["checkpoint-2000", "trained"];
    const paths = directories.map((directory) => home.path(directory));
    const options = { encoding: "utf8", stdio: "pipe", env, maxBuffer: 2 ** 26 } as const;
    const answer = execFileSync(python, ["-c", logitsScript, home.path("gpt2"), ids, ...paths], options);
    const theirs = JSON.parse(answer) as number[][];
    const [before, after] = await Promise.all(directories.map(own));
    // The last token predicts nothing.
    expect(relativeDifference(before!, theirs[0]!.slice(0, -320))).toBeLessThan(1e-5);
    expect(relativeDifference(after!, theirs[1]!.slice(0, -320))).toBeLessThan(1e-5);
    expect(relativeDifference(after!, before!)).toBeGreaterThan(1e-3);
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
