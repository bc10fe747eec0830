"""Prepares a HuatuoGPT data set with HuggingFace datasets: load, render, tokenize, mask, cut, save.

    datasets_map.py DATA MODEL OUTPUT PROCESSES MAX_LENGTH

prints JSON: samples, tokens, labels; the seconds of the clock and of all processors from before loading to after saving
(imports are not counted), and the largest resident size of its largest process.
"""

import bisect
import json
import os
import resource
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
import datasets
import pyarrow.compute as compute
from transformers import PreTrainedTokenizerFast

data, model, output, processes, max_length = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
datasets.disable_progress_bars()
usages = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def cpu_seconds():
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, usages))


def encode(batch):
    texts, spans = [], []
    for turns in batch["data"]:
        messages = [{"role": "user" if turn[0] == "问" else "assistant", "content": turn[2:]} for turn in turns]
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        # Answers stand in the text as they are; looking for them is cheaper than rendering every prefix.
        found, at = [], 0
        for message in messages:
            content = message["content"].strip()
            at = text.index(content, at)
            end = at + len(content)
            if message["role"] == "assistant":
                found.append((at, end))
            at = end
        texts.append(text)
        spans.append(found)
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, truncation=True, max_length=max_length)
    masks = []
    for offsets, answers in zip(encoded["offset_mapping"], spans):
        mask = bytearray(len(offsets))
        starts, ends = [start for start, _ in offsets], [end for _, end in offsets]
        for start, end in answers:
            # From the first token with a character of the answer to the one that ends it, which begins behind it.
            first, last = bisect.bisect_right(ends, start), bisect.bisect_right(starts, end)
            mask[first:last] = b"\x01" * (last - first)
        masks.append(list(mask))
    return {"input_ids": encoded["input_ids"], "mask": masks}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        start, cpu_start = time.perf_counter(), cpu_seconds()
        tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
        rows = datasets.load_dataset("json", data_files=data, split="train", cache_dir=cache)
        mapped = rows.map(encode, batched=True, num_proc=processes, remove_columns=rows.column_names)
        mapped.save_to_disk(output)
        seconds, cpu = time.perf_counter() - start, cpu_seconds() - cpu_start
    measured = {
        "samples": len(mapped),
        "tokens": compute.sum(compute.list_value_length(mapped.data["input_ids"])).as_py(),
        "labels": compute.sum(compute.list_flatten(mapped.data["mask"])).as_py(),
        "seconds": seconds,
        "cpuSeconds": cpu,
        "peakBytes": max(resource.getrusage(who).ru_maxrss for who in usages) * 1024,
    }
    print(json.dumps(measured))
