"""Prepares a HuatuoGPT data set with HuggingFace datasets: load, render, tokenize, mask, cut, save.

    datasets_map.py DATA MODEL OUTPUT PROCESSES MAX_LENGTH

prints JSON: samples, tokens, labels, and the seconds, of the clock and of all processors, from before loading to after saving (imports are not counted).
"""

import json
import os
import resource
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
import datasets
from transformers import PreTrainedTokenizerFast

data, model, output, processes, max_length = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
datasets.disable_progress_bars()
tokenizer = PreTrainedTokenizerFast.from_pretrained(model)


def cpu_seconds():
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def encode(batch):
    texts, spans = [], []
    for turns in batch["data"]:
        messages = [{"role": "user" if turn[0] == "问" else "assistant", "content": turn[2:]} for turn in turns]
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        # Answers stand in the text as they are; looking for them is cheaper than rendering every prefix.
        found, at = [], 0
        for message in messages:
            at = text.index(message["content"].strip(), at)
            end = at + len(message["content"].strip())
            if message["role"] == "assistant":
                found.append((at, end))
            at = end
        texts.append(text)
        spans.append(found)
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, truncation=True, max_length=max_length)
    masks = []
    for offsets, answers in zip(encoded["offset_mapping"], spans):
        mask = [0] * len(offsets)
        for start, end in answers:
            for index, (first, last) in enumerate(offsets):
                if last > start and first <= end:
                    mask[index] = 1
        masks.append(mask)
    return {"input_ids": encoded["input_ids"], "mask": masks}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        start, cpu_start = time.perf_counter(), cpu_seconds()
        rows = datasets.load_dataset("json", data_files=data, split="train", cache_dir=cache)
        mapped = rows.map(encode, batched=True, num_proc=processes, remove_columns=rows.column_names)
        mapped.save_to_disk(output)
        seconds, cpu = time.perf_counter() - start, cpu_seconds() - cpu_start
    tokens = sum(len(ids) for ids in mapped["input_ids"])
    labels = sum(sum(mask) for mask in mapped["mask"])
    print(json.dumps({"samples": len(mapped), "tokens": tokens, "labels": labels, "seconds": seconds, "cpuSeconds": cpu}))
