"""Makes tokenizers of the common families and writes what `transformers` renders, tokenizes and would mask with each.

    tokens_reference.py DEMO_MODEL DEMO_DATA OUTPUT [HUATUO_DATA …]

writes OUTPUT/NAME/{tokenizer.json,tokenizer_config.json}, OUTPUT/conversations.json and OUTPUT/expected.json, and of the
named templates in OUTPUT/named.json what it makes of some of the conversations, in OUTPUT/expected_named.json; with COORD_FULL_CROSS set, digests of all medical ones in cross.json.
"""

import hashlib
import json
import multiprocessing
import os
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

demo_model, demo_data, output, *medical = sys.argv[1:]
dialogues = [[turn[2:] for turn in json.loads(line)["data"]] for line in open(demo_data, encoding="utf8")]
corpus = [turn for dialogue in dialogues for turn in dialogue] + ["The quick brown fox jumps over lazy dogs, don't they?"] * 9

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set system = messages[0]['content'] %}"
    "{% else %}{% set rest = messages %}{% set system = false %}{% endif %}{% for message in rest %}"
    "{% if loop.index0 == 0 and system != false %}"
    "{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA3 = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
    "{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
# As published, where our named templates are written in another way.
PUBLISHED = {
    "llama2": LLAMA2,
    "llama3": LLAMA3,
    "qwen": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "zephyr": (
        "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n"
        "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n"
        "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
        "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
    ),
    "deepseek": (
        "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{{ bos_token }}"
        "{% for message in messages %}{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\n\n' }}"
        "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token }}"
        "{% elif message['role'] == 'system' %}{{ message['content'] + '\n\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
    ),
}
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def byte_level(digits, normalizer):
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS % digits), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1500, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def sentence_piece(normalizer, pre_tokenizer):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    lone_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        limit_alphabet=700,
        max_token_length=12,
        special_tokens=["<unk>", "<s>", "</s>", *lone_bytes],
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    description = json.loads(tokenizer.to_str())
    description["added_tokens"] = [one for one in description["added_tokens"] if one["content"] not in lone_bytes]
    return Tokenizer.from_str(json.dumps(description))


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=2000, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def save(name, tokenizer, specials, **config):
    tokenizer.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in specials])
    if "bos_token" in config:
        bos = config["bos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    os.makedirs(f"{output}/{name}", exist_ok=True)
    tokenizer.save(f"{output}/{name}/tokenizer.json")
    with open(f"{output}/{name}/tokenizer_config.json", "w", encoding="utf8") as file:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", **config}, file)
    return PreTrainedTokenizerFast.from_pretrained(f"{output}/{name}")


sentinels = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "chat_template": LLAMA2}
prepend = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
tokenizers = {
    "demo": PreTrainedTokenizerFast.from_pretrained(demo_model),
    "qwen": save(
        "qwen",
        byte_level("", normalizers.NFC()),
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        eos_token="<|im_end|>",
        chat_template=CHATML,
    ),
    "llama3": save(
        "llama3",
        byte_level("{1,3}", None),
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        chat_template=LLAMA3,
    ),
    "llama2": save("llama2", sentence_piece(prepend, None), ["<unk>", "<s>", "</s>"], **sentinels),
    "unigram": save("unigram", unigram(), ["<unk>", "<s>", "</s>"], **sentinels),
    "mistral": save("mistral", sentence_piece(None, metaspace), ["<unk>", "<s>", "</s>"], **sentinels),
}

tricky = [
    "Hello, it's me.  Two spaces\n\n\tand tabs\r\n1234567 é e\u0301 Å ﬁ ½ 😀👩\u200d👩\u200d👧 \u200b x",
    "def f(x):\n    return x**2  # ok",
    "مرحبا हिन्दी ไทย 한국어",
    "'S 'LL don't DON'T",
    "   lead and trail   ",
    "a" * 300,
    "。。。！？、，",
    "𠮷野家 \ufeff mark",
    "\u00a0no-break\u3000ideographic",
]
chance = random.Random(1)
roles = ["user", "assistant"]
conversations = [
    [{"role": roles[at % 2], "content": turn} for at, turn in enumerate(dialogue)] for dialogue in dialogues
]
for question, answer, *_ in dialogues[:150]:
    system = [{"role": "system", "content": chance.choice(tricky)}] if chance.random() < 0.4 else []
    turns = []
    for _ in range(chance.randint(1, 3)):
        turns.append({"role": "user", "content": chance.choice(tricky) + chance.choice(["", question])})
        turns.append({"role": "assistant", "content": chance.choice(tricky) + chance.choice(["", answer])})
    conversations.append(system + turns)
medical_rows = [json.loads(line) for path in medical for line in open(path, encoding="utf8")]
for row in medical_rows:
    if "data" in row:
        turns = [turn[2:] for turn in row["data"]]
    else:
        turns = [turn["value"] for turn in row["conversations"]]
    conversations.append([{"role": roles[at % 2], "content": turn} for at, turn in enumerate(turns)])


def expect(tokenizer, messages, tools=None, template=None):
    def render(some, **options):
        return tokenizer.apply_chat_template(some, tools=tools, chat_template=template, **options)

    text = render(messages, tokenize=False)
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = encoding["input_ids"], encoding["offset_mapping"]
    mask = [0] * len(ids)
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        start = len(render(messages[:index], tokenize=False, add_generation_prompt=True))
        end = len(render(messages[: index + 1], tokenize=False))
        span = [at for at, (first, last) in enumerate(offsets) if last > start and first < end]
        # White space that the template puts behind the end token is not a label.
        while ids[span[-1]] not in tokenizer.all_special_ids:
            span.pop()
        for at in span:
            mask[at] = 1
    return {"text": text, "ids": ids, "mask": mask, "plain": tokenizer(messages[-1]["content"] or "")["input_ids"]}


with open(f"{output}/conversations.json", "w", encoding="utf8") as file:
    json.dump(conversations, file)
with open(f"{output}/expected.json", "w", encoding="utf8") as file:
    json.dump({name: [expect(one, each) for each in conversations] for name, one in tokenizers.items()}, file)


def expect_named(tokenizer, template, messages):
    # A tokenizer that does not begin texts with its BOS token gets none from a named template either.
    bos = tokenizer.bos_token if tokenizer.bos_token and tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id else ""

    def render(some, **options):
        return tokenizer.apply_chat_template(some, chat_template=template, tokenize=False, bos_token=bos, **options)

    text = render(messages)
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = encoding["input_ids"], encoding["offset_mapping"]
    mask = [0] * len(ids)
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        start = len(render(messages[:index], add_generation_prompt=True))
        end = len(render(messages[: index + 1]))
        span = [at for at, (first, last) in enumerate(offsets) if last > start and first < end]
        closed = list(span)
        while closed and not text[offsets[closed[-1]][0] : offsets[closed[-1]][1]].strip():
            closed.pop()
        # White space behind the end token is not a label; without an end token the answer goes as far as its text.
        for at in closed if closed and ids[closed[-1]] in tokenizer.all_special_ids else span:
            mask[at] = 1
    return {"text": text, "ids": ids, "mask": mask}


with open(f"{output}/named.json", encoding="utf8") as file:
    named = json.load(file)
made = len(conversations) - len(medical_rows)
some = conversations[:made:25] + conversations[made - 40 : made] + conversations[made::40]
with open(f"{output}/expected_named.json", "w", encoding="utf8") as file:
    json.dump(
        {
            template: {
                name: [expect_named(one, PUBLISHED.get(template, text), each) for each in some]
                for name, one in tokenizers.items()
            }
            for template, text in named.items()
        },
        file,
    )
with open(f"{output}/some.json", "w", encoding="utf8") as file:
    json.dump(some, file)


def digests(pair):
    """Of ids and mask of every distinct medical dialogue, one after the other: the numbers themselves would be gigabytes."""
    template, name = pair
    text = PUBLISHED.get(template, named[template])
    for messages in cross:
        found = expect_named(tokenizers[name], text, messages)
        yield [hashlib.sha256(",".join(map(str, found[what])).encode()).hexdigest() for what in ("ids", "mask")]


def all_digests(pair):
    return list(digests(pair))


if os.environ.get("COORD_FULL_CROSS"):
    cross = list({json.dumps(each): each for each in conversations[made:]}.values())
    pairs = [(template, name) for template in named for name in tokenizers]
    with multiprocessing.get_context("fork").Pool() as pool:
        result = [[*pair, found] for pair, found in zip(pairs, pool.map(all_digests, pairs, chunksize=1))]
    with open(f"{output}/cross.json", "w", encoding="utf8") as file:
        json.dump({"conversations": cross, "digests": result}, file)

# What Qwen 2.5 and Llama 3.1 do with tools, in short.
QWEN_TOOLS = (
    "{%- if tools %}{{- '<|im_start|>system\n' }}{%- if messages[0].role == 'system' %}{{- messages[0].content }}"
    "{%- endif %}{{- '# Tools\n<tools>' }}{%- for tool in tools %}{{- '\n' }}{{- tool | tojson }}{%- endfor %}"
    "{{- '\n</tools><|im_end|>\n' }}{%- endif %}{%- for message in messages %}"
    "{%- if message.role == 'user' or (message.role == 'system' and not tools) or (message.role == 'assistant' and not message.tool_calls) %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}"
    "{%- elif message.role == 'assistant' %}{{- '<|im_start|>assistant' }}"
    "{%- if message.content %}{{- '\n' + message.content }}{%- endif %}{%- for tool_call in message.tool_calls %}"
    "{%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}"
    "{{- '\n<tool_call>\n{\"name\": \"' }}{{- tool_call.name }}{{- '\", \"arguments\": ' }}{{- tool_call.arguments | tojson }}"
    "{{- '}\n</tool_call>' }}{%- endfor %}{{- '<|im_end|>\n' }}"
    "{%- elif message.role == 'tool' %}{%- if loop.index0 == 0 or messages[loop.index0 - 1].role != 'tool' %}"
    "{{- '<|im_start|>user' }}{%- endif %}{{- '\n<tool_response>\n' }}{{- message.content }}{{- '\n</tool_response>' }}"
    "{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\n' }}{%- endif %}"
    "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
LLAMA_TOOLS = (
    "{{- bos_token }}{%- if tools is not none %}{{- '<|start_header_id|>system<|end_header_id|>\n\nEnvironment: ipython\n' }}"
    "{%- for t in tools %}{{- t | tojson(indent=4) }}{{- '\n\n' }}{%- endfor %}{{- '<|eot_id|>' }}{%- endif %}"
    "{%- for message in messages %}{%- if 'tool_calls' in message %}{%- set tool_call = message.tool_calls[0].function %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{{- '{\"name\": \"' + tool_call.name + '\", ' }}"
    "{{- '\"parameters\": ' }}{{- tool_call.arguments | tojson }}{{- '}' }}{{- '<|eot_id|>' }}"
    "{%- elif message.role == 'tool' %}{{- '<|start_header_id|>ipython<|end_header_id|>\n\n' }}"
    "{{- message.content | tojson }}{{- '<|eot_id|>' }}{%- else %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}"
    "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)


def tool(name, **properties):
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": f"Gives {name}: 查询。", "parameters": parameters}}


def call(name, content=None, **arguments):
    function = {"name": name, "arguments": arguments}
    return {"role": "assistant", "content": content, "tool_calls": [{"id": "c1", "type": "function", "function": function}]}


tools = [tool("weather", city={"type": "string", "enum": ["北京", "Paris <é>"]}, days={"type": "integer"}), tool("clock")]
ask = {"role": "user", "content": "北京天气怎么样?"}
told = {"role": "tool", "tool_call_id": "c1", "content": '{"sky": "晴", "degrees": 21.5}'}
answer = {"role": "assistant", "content": "晴,21.5 度。"}
tool_rows = [
    {"messages": [ask, call("weather", city="北京", days=2), told, answer], "tools": tools},
    {"messages": [{"role": "system", "content": "Be short."}, ask, call("weather", "", city="it's \"x\"", list=[1, None, True, 0.5])], "tools": tools},
    {"messages": [ask, call("clock"), told, call("weather", city="Paris <é> & more"), told, answer, ask, answer], "tools": tools},
    {"messages": [ask, answer], "tools": [tool("clock")]},
]
with_tools = {"qwen": QWEN_TOOLS, "llama3": LLAMA_TOOLS}
with open(f"{output}/tools.json", "w", encoding="utf8") as file:
    json.dump({"rows": tool_rows, "templates": with_tools}, file)
with open(f"{output}/expected_tools.json", "w", encoding="utf8") as file:
    json.dump(
        {
            name: [expect(tokenizers[name], row["messages"], row["tools"], template) for row in tool_rows]
            for name, template in with_tools.items()
        },
        file,
    )
