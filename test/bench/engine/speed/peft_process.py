"""A process that trains LoRA on a model with PyTorch and PEFT, a step each time that it is told to.

Usage: peft_process.py JSON; the settings are those of speedCase.ts. Prints one JSON line when it is ready and one as the answer
to each line of its input: "step" and "rate". Ends with its input.
"""

import json
import re
import sys
import time

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

def answer(**values):
    print(json.dumps(values), flush=True)

def peak_bytes():
    with open("/proc/self/status") as status:
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1))

def rate(m, k, n):
    """Floating-point operations per second of x [m, k] times w [n, k] transposed, the best of several."""
    x, w = torch.randn(m, k), torch.randn(n, k)
    best = float("inf")
    with torch.no_grad():
        for _ in range(12):
            start = time.perf_counter()
            torch.nn.functional.linear(x, w)
            best = min(best, time.perf_counter() - start)
    return 2 * m * k * n / best

def main():
    settings = json.loads(sys.argv[1])
    torch.set_num_threads(settings["threads"])

    base = AutoModelForCausalLM.from_pretrained(settings["modelDirectory"], dtype=torch.float32)
    base.config.use_cache = False
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings["r"],
        lora_alpha=settings["alpha"],
        lora_dropout=0.0,
        target_modules=settings["targetModules"],
    )
    model = get_peft_model(base, lora).train()
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=settings["learningRate"])
    ids = torch.tensor([settings["inputIds"]])
    answer(name=f"torch {torch.__version__}, peft {peft.__version__}, transformers {transformers.__version__}")
    for line in sys.stdin:
        if line.strip() == "rate":
            answer(rates=[rate(*shape) for shape in settings["shapes"]])
            continue
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        value = loss.item()
        answer(seconds=time.perf_counter() - start, loss=value, peakBytes=peak_bytes())

main()
