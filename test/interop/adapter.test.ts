import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { exportAdapter } from "../../shared/checkpoint/exportAdapter.ts";
import { loadAdapter } from "../../shared/checkpoint/loadAdapter.ts";
import { LocalCheckpointStore } from "../../shared/checkpoint/localStore.ts";
import { openSafetensors } from "../../shared/tensors/safetensors.ts";
import { checkpointContents, smallLayout } from "../support/checkpointContents.ts";

/** Python with `safetensors` and `torch`, and with `peft` for the last test: pip install safetensors torch peft. */
const python = process.env["COORD_PYTHON"] ?? "python3";
const has = (modules: string) => {
  try {
    execFileSync(python, ["-c", `import ${modules}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
};
const run = (script: string, ...args: string[]): unknown =>
  JSON.parse(
    execFileSync(python, ["-c", script, ...args], {
      encoding: "utf8",
      maxBuffer: 2 ** 26,
      env: { ...process.env, HF_HUB_OFFLINE: "1" },
    }),
  );

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-interop-"));
});
afterEach(() => rm(directory, { recursive: true }));

const { state, adapterConfig } = checkpointContents(10);

describe.skipIf(!has("safetensors.torch, torch"))(`Python's safetensors (skipped where ${python} has none)`, () => {
  it("reads our adapter and optimizer with the same names, shapes, values and metadata", async () => {
    const { path } = await new LocalCheckpointStore(directory).save(checkpointContents(10));
    const script = `
import json, sys
from safetensors import safe_open
with safe_open(sys.argv[1], "pt") as f:
    print(json.dumps({"metadata": f.metadata(), "tensors": {k: [list(f.get_tensor(k).shape), f.get_tensor(k).flatten().tolist()] for k in f.keys()}}))`;
    const tensors = (prefix: string, flat: Float32Array) =>
      smallLayout.tensors.map(({ name, shape, offset }) => [
        prefix + name,
        [shape, [...flat.subarray(offset, offset + shape[0]! * shape[1]!)]],
      ]);
    expect(run(script, join(path, "adapter_model.safetensors"))).toEqual({
      metadata: { format: "pt" },
      tensors: Object.fromEntries(tensors("", state.parameters)),
    });
    expect(run(script, join(path, "optimizer.safetensors"))).toEqual({
      metadata: { format: "pt", step: "10" },
      tensors: Object.fromEntries([
        ...tensors("exp_avg.", state.firstMoment),
        ...tensors("exp_avg_sq.", state.secondMoment),
      ]),
    });
  });

  it("writes half-precision files that we widen to the same values as PyTorch", async () => {
    const path = join(directory, "model.safetensors");
    const script = `
import json, sys, torch
from safetensors.torch import save_file
bits = torch.arange(-32768, 32768, dtype=torch.int32).to(torch.int16)
tensors = {"f16": bits.view(torch.float16).clone(), "bf16": bits.view(torch.bfloat16).clone(), "scalar": torch.tensor(1.5), "empty": torch.zeros(0, 3)}
save_file(tensors, sys.argv[1], {"a": "ü"})
wide = {k: torch.nan_to_num(tensors[k].float(), nan=7.0, posinf=8.0, neginf=9.0).tolist() for k in ["f16", "bf16"]}
print(json.dumps(wide))`;
    const expected = run(script, path) as Record<string, number[]>;
    const file = await openSafetensors(path);
    expect(file.metadata.get("a")).toBe("ü");
    for (const name of ["f16", "bf16"]) {
      const values = Array.from(await file.readFloat32(name), (value) => {
        if (Number.isNaN(value)) return 7;
        return Number.isFinite(value) ? value : value > 0 ? 8 : 9;
      });
      expect(values.length).toBe(65536);
      expect(values.findIndex((value, index) => !Object.is(value, expected[name]?.[index]))).toBe(-1);
    }
    expect([...(await file.readFloat32("scalar"))]).toEqual([1.5]);
    expect(file.entries.get("empty")?.shape).toEqual([0, 3]);
    await file.close();
  });
});

describe.skipIf(!has("peft, transformers"))(`PEFT (skipped where ${python} has none)`, () => {
  const script = (body: string) => `
import json, os, sys, torch, warnings
from transformers import LlamaConfig, LlamaForCausalLM
from peft import LoraConfig, PeftModel, get_peft_model
base = LlamaForCausalLM(LlamaConfig(vocab_size=8, hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2))
${body}`;
  const prefix = "base_model.model.model.layers.0.self_attn.q_proj";

  it("loads our adapter into a model without a missing or unexpected key", async () => {
    const layout = {
      tensors: [
        { name: `${prefix}.lora_A.weight`, shape: [2, 4], offset: 0 },
        { name: `${prefix}.lora_B.weight`, shape: [4, 2], offset: 8 },
      ],
      elements: 16,
    };
    const parameters = new Float32Array(16).map((_, index) => Math.sin(index));
    await exportAdapter(directory, { ...state, layout, parameters }, adapterConfig);
    const loaded = run(
      script(`
warnings.simplefilter("error", UserWarning)
model = PeftModel.from_pretrained(base, sys.argv[1])
layer = model.base_model.model.model.layers[0].self_attn.q_proj
print(json.dumps({"scaling": layer.scaling["default"], "values": [p.flatten().tolist() for n, p in model.named_parameters() if "lora_" in n]}))`),
      directory,
    );
    expect(loaded).toEqual({ scaling: 8, values: [[...parameters.subarray(0, 8)], [...parameters.subarray(8)]] });
  });

  it("saves an adapter that we load", async () => {
    run(
      script(`
model = get_peft_model(base, LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj"], task_type="CAUSAL_LM"))
model.save_pretrained(sys.argv[1])
print("null")`),
      directory,
    );
    const { config, tensors } = await loadAdapter(directory);
    expect(config).toMatchObject({ r: 2, lora_alpha: 4, lora_dropout: 0, target_modules: ["q_proj"] });
    expect([...tensors].map(([name, { shape }]) => [name, shape])).toEqual([
      [`${prefix}.lora_A.weight`, [2, 4]],
      [`${prefix}.lora_B.weight`, [4, 2]],
    ]);
  });
});
