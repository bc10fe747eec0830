"""Trains a byte-level BPE tokenizer with the pre-tokenizer and the chat template of Llama 3 on a HuatuoGPT data set.

    make_tokenizer.py DATA OUTPUT VOCABULARY
"""

import json
import os
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

data, output, vocabulary = sys.argv[1], sys.argv[2], int(sys.argv[3])
words = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
template = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
    "{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
tokenizer = Tokenizer(models.BPE())
split = pre_tokenizers.Split(Regex(words), "isolated")
tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
tokenizer.decoder = decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
turns = (turn[2:] for line in open(data, encoding="utf8") for turn in json.loads(line)["data"])
tokenizer.train_from_iterator(turns, trainer)
specials = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
tokenizer.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in specials])
tokenizer.post_processor = processors.TemplateProcessing(
    single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))]
)
os.makedirs(output, exist_ok=True)
tokenizer.save(f"{output}/tokenizer.json")
with open(f"{output}/tokenizer_config.json", "w", encoding="utf8") as file:
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": specials[0], "eos_token": specials[3]}
    json.dump({**config, "chat_template": template}, file)
