"""What transformers and PEFT make of tiny models with random weights.

Usage: models_reference.py make|load DIRECTORY < cases.json; prints one JSON list.
make: for each case, writes DIRECTORY/NAME/model (save_pretrained) and DIRECTORY/NAME/adapter (a random PEFT adapter); gives
the logits, the loss and the adapter's gradients of one batch, and the losses of AdamW steps on it.
load: the logits of DIRECTORY/NAME/model with the adapter in DIRECTORY/NAME/trained.
Dropout is off everywhere: models stay in evaluation mode.
"""

import json
import os
import sys
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from transformers import AutoConfig, AutoModelForCausalLM

torch.set_num_threads(1)


def randomize(model):
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        is_norm = "norm" in name or ".ln_" in name
        if parameter.dim() == 1:
            values = values * 0.2 + (1 if is_norm and name.endswith("weight") else 0)
        else:
            values = values * 0.2
        parameter.data.copy_(values)


def loss_of(model, batch):
    """Sum over label tokens, as HuggingFace shifts them, and their number."""
    ids = torch.tensor(batch["inputIds"])
    labels = torch.tensor(batch["labels"])[:, 1:]
    logits = model(input_ids=ids, attention_mask=torch.tensor(batch["attentionMask"])).logits.float()
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum"
    )
    return loss, logits, int((labels != -100).sum())


def make(case, directory):
    torch.manual_seed(0)
    config = AutoConfig.for_model(**case["config"])
    base = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    randomize(base)
    # Parameters alone: rotary frequencies are buffers, which stay float32 when a model is loaded in 16 bits.
    for parameter in base.parameters():
        parameter.data = parameter.data.to(getattr(torch, case.get("dtype", "float32")))
    base.save_pretrained(os.path.join(directory, "model"))
    for parameter in base.parameters():
        parameter.data = parameter.data.float()

    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **case["lora"])).eval()
    starts = {
        name: value.flatten().tolist()
        for name, value in get_peft_model_state_dict(model).items()
        if "lora_A" not in name and "lora_B" not in name
    }
    generator = torch.Generator().manual_seed(2)
    for name, parameter in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
        elif parameter.requires_grad:
            # Copies of base weights and the lengths of DoRA are moved a little from where they start.
            parameter.data.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    model.save_pretrained(os.path.join(directory, "adapter"))

    batch = case["batch"]
    loss, logits, tokens = loss_of(model, batch)
    loss.backward()
    learned = [p for p in model.parameters() if p.requires_grad]
    # The names of an adapter's file, in the order of the parameters that they stand for.
    names = {value.data_ptr(): name for name, value in get_peft_model_state_dict(model).items()}
    gradients = {names[p.data_ptr()]: p.grad.flatten().tolist() for p in learned}

    optimizer = torch.optim.AdamW(learned, lr=case["learningRate"], weight_decay=0.01)
    losses = []
    for _ in range(case["steps"]):
        optimizer.zero_grad()
        step_loss, _, _ = loss_of(model, batch)
        (step_loss / tokens).backward()
        optimizer.step()
        losses.append(step_loss.item() / tokens)
    return {
        "loss": loss.item(),
        "tokens": tokens,
        "logits": logits.flatten().tolist(),
        "gradients": gradients,
        "losses": losses,
        "starts": starts,
    }


def load(case, directory):
    path = os.path.join(directory, "model")
    base = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
    with warnings.catch_warnings():
        # PEFT warns of missing and of unexpected keys.
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False")
        # A head or an embedding of its own beside the one that it was tied to is what is tested.
        warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`")
        model = PeftModel.from_pretrained(base, os.path.join(directory, "trained")).eval()
    with torch.no_grad():
        _, logits, _ = loss_of(model, case["batch"])
    return logits.flatten().tolist()


def main():
    answer = {"make": make, "load": load}[sys.argv[1]]
    cases = json.load(sys.stdin)
    print(json.dumps([answer(case, os.path.join(sys.argv[2], case["name"])) for case in cases]))


main()
