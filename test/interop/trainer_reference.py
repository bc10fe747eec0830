"""Trains a LoRA adapter with HuggingFace's Trainer and leaves its checkpoints, one after STEPS steps:

trainer_reference.py BASE ROWS OUTPUT STEPS
"""

import json
import sys

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, EarlyStoppingCallback, Trainer, TrainingArguments

base_path, rows_path, output = sys.argv[1:4]
steps = int(sys.argv[4])
torch.manual_seed(0)
# More than one wait for each other on a busy host, and a step is a matter of milliseconds.
torch.set_num_threads(1)
tokenizer = AutoTokenizer.from_pretrained(base_path)
model = get_peft_model(
    AutoModelForCausalLM.from_pretrained(base_path),
    LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"),
)
with open(rows_path, encoding="utf-8") as rows:
    ids = [tokenizer(json.loads(row)["text"])["input_ids"][:48] for row in rows]
samples = [{"input_ids": row, "labels": row} for row in ids]
arguments = TrainingArguments(
    output_dir=output,
    max_steps=steps + 10,
    per_device_train_batch_size=1,
    per_device_eval_batch_size=1,
    learning_rate=0.01,
    lr_scheduler_type="constant",
    logging_steps=1,
    eval_strategy="steps",
    eval_steps=steps // 2,
    save_steps=steps,
    metric_for_best_model="eval_loss",
    greater_is_better=False,
    report_to=[],
    use_cpu=True,
    disable_tqdm=True,
)
Trainer(
    model=model,
    args=arguments,
    train_dataset=samples[4:],
    eval_dataset=samples[:4],
    callbacks=[EarlyStoppingCallback(early_stopping_patience=7, early_stopping_threshold=0.001)],
).train()
