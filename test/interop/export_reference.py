"""Compares merged models with base + adapter.

Usage: export_reference.py < cases.json, a list of {base, adapter, merged, dtype}. Prints a JSON list.
"""

import json
import os
import sys
import warnings

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

# A missing or unexpected key is a warning in PEFT.
warnings.simplefilter("error", UserWarning)
# That a merge must untie the head is what is being tested; PEFT finds out for itself that GPT-2's weights are transposed.
warnings.filterwarnings("ignore", message=".*(tie_word_embeddings|fan_in_fan_out).*")
torch.set_num_threads(1)


def compare(case):
    ids = torch.randint(0, 37, (2, 14), generator=torch.Generator().manual_seed(0))

    def logits(model):
        with torch.no_grad():
            return model.eval()(ids).logits.float()

    base = AutoModelForCausalLM.from_pretrained(case["base"], torch_dtype=torch.float32)
    plain = logits(base)
    adapted = logits(PeftModel.from_pretrained(base, case["adapter"]))
    model, info = AutoModelForCausalLM.from_pretrained(
        case["merged"], torch_dtype=getattr(torch, case["dtype"]), output_loading_info=True
    )
    merged = logits(model)
    if os.path.exists(os.path.join(case["merged"], "tokenizer.json")):
        assert AutoTokenizer.from_pretrained(case["merged"])("hello")["input_ids"] != []
    return {
        "difference": (merged - adapted).abs().max().item(),
        "effect": (adapted - plain).abs().max().item(),
        "magnitude": adapted.abs().max().item(),
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
        "tied": bool(model.config.tie_word_embeddings),
    }


print(json.dumps([compare(case) for case in json.load(sys.stdin)]))
