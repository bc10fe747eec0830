/**
 * Chat templates by name, in Jinja, for models whose tokenizer brings none. `bos_token` is empty here for tokenizers that
 * do not begin a text with it themselves, and `eos_token` for tokenizers that have none.
 */
export const namedTemplates: ReadonlyMap<string, string> = new Map([
  // OpenAI's ChatML, as Qwen uses it.
  [
    "chatml",
    "{{ bos_token }}{% for message in messages %}" +
      "<|im_start|>{{ message.role }}{{ '\\n' }}{{ message.content }}<|im_end|>{{ '\\n' }}{% endfor %}" +
      "{% if add_generation_prompt %}<|im_start|>assistant{{ '\\n' }}{% endif %}",
  ],
  // Qwen 2's tokenizer_config.json: ChatML with a system message where there is none, and never a BOS token.
  [
    "qwen",
    "{% for message in messages %}{% if loop.first and message.role != 'system' %}" +
      "<|im_start|>system{{ '\\n' }}You are a helpful assistant.<|im_end|>{{ '\\n' }}{% endif %}" +
      "<|im_start|>{{ message.role }}{{ '\\n' }}{{ message.content }}<|im_end|>{{ '\\n' }}{% endfor %}" +
      "{% if add_generation_prompt %}<|im_start|>assistant{{ '\\n' }}{% endif %}",
  ],
  // FastChat's vicuna_v1.1 (fastchat/conversation.py, ADD_COLON_TWO).
  [
    "vicuna",
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ messages[0].content }}{% else %}" +
      "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, " +
      "and polite answers to the user's questions.{% endif %}{{ ' ' }}{% for message in messages %}" +
      "{% if message.role == 'user' %}USER: {{ message.content }}{{ ' ' }}" +
      "{% elif message.role == 'assistant' %}ASSISTANT: {{ message.content }}{{ eos_token }}{% endif %}{% endfor %}" +
      "{% if add_generation_prompt %}ASSISTANT:{% endif %}",
  ],
  // Meta's Llama 2 chat (llama/generation.py), white space around contents stripped as there.
  [
    "llama2",
    "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}" +
      "{% set system = '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' %}" +
      "{% else %}{% set rest = messages %}{% set system = '' %}{% endif %}{% for message in rest %}" +
      "{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}" +
      "{{ raise_exception('turns must alternate user, assistant, user, …') }}{% endif %}" +
      "{% if message.role == 'user' %}{{ bos_token }}[INST] " +
      "{% if loop.first %}{{ (system + message.content).strip() }}{% else %}{{ message.content.strip() }}{% endif %}" +
      " [/INST]{% else %}{{ ' ' }}{{ message.content.strip() }}{{ ' ' }}{{ eos_token }}{% endif %}{% endfor %}",
  ],
  // Meta-Llama-3-8B-Instruct's tokenizer_config.json.
  [
    "llama3",
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>{{ '\\n\\n' }}" +
      "{{ message.content.strip() }}<|eot_id|>{% endfor %}" +
      "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>{{ '\\n\\n' }}{% endif %}",
  ],
  // Mistral-7B-Instruct's model card; a system message goes in front of the first question.
  [
    "mistral",
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}" +
      "{% set system = messages[0].content + '\\n\\n' %}{% else %}{% set rest = messages %}{% set system = '' %}{% endif %}" +
      "{% for message in rest %}{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}" +
      "{{ raise_exception('turns must alternate user, assistant, user, …') }}{% endif %}" +
      "{% if message.role == 'user' %}[INST] {% if loop.first %}{{ system }}{% endif %}{{ message.content }} [/INST]" +
      "{% else %}{{ ' ' }}{{ message.content }}{{ eos_token }}{% endif %}{% endfor %}",
  ],
  // zephyr-7b-beta's tokenizer_config.json, which has no BOS token.
  [
    "zephyr",
    "{% for message in messages %}<|{{ message.role }}|>{{ '\\n' }}{{ message.content }}{{ eos_token }}{{ '\\n' }}" +
      "{% endfor %}{% if add_generation_prompt %}<|assistant|>{{ '\\n' }}{% endif %}",
  ],
  // deepseek-llm-7b-chat's tokenizer_config.json.
  [
    "deepseek",
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}User: {{ message.content }}{{ '\\n\\n' }}" +
      "{% elif message.role == 'assistant' %}Assistant: {{ message.content }}{{ eos_token }}" +
      "{% else %}{{ message.content }}{{ '\\n\\n' }}{% endif %}{% endfor %}" +
      "{% if add_generation_prompt %}Assistant:{% endif %}",
  ],
  // Stanford Alpaca's prompt without input (train.py); later turns follow after an empty line.
  [
    "alpaca",
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ messages[0].content }}{% else %}" +
      "Below is an instruction that describes a task. Write a response that appropriately completes the request." +
      "{% endif %}{% for message in messages %}" +
      "{% if message.role == 'user' %}{{ '\\n\\n' }}### Instruction:{{ '\\n' }}{{ message.content }}{{ '\\n\\n' }}" +
      "{% elif message.role == 'assistant' %}### Response:{{ message.content }}{{ eos_token }}{% endif %}{% endfor %}" +
      "{% if add_generation_prompt %}### Response:{% endif %}",
  ],
  // Contents alone, each question on a line of its own, each answer ended by the end token.
  [
    "plain",
    "{{ bos_token }}{% for message in messages %}{{ message.content }}" +
      "{% if message.role == 'assistant' %}{{ eos_token }}{% else %}{{ '\\n' }}{% endif %}{% endfor %}",
  ],
]);
