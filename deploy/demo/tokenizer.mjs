// The demo's tokenizer: what deploy/demo/train.mjs writes as tokenizer.json and tokenizer_config.json.
import { learnMerges, tokenizerJson } from "./bytePairs.mjs";
import { composeCorpus } from "./corpus/compose.mjs";

export const vocabularySize = 1024;
const bytes = 256;
const special = ["<|pad|>", "<|bos|>", "<|eos|>", "<|system|>", "<|user|>", "<|assistant|>"];

const tokenizerConfig = {
  tokenizer_class: "PreTrainedTokenizerFast",
  bos_token: "<|bos|>",
  eos_token: "<|eos|>",
  pad_token: "<|pad|>",
  additional_special_tokens: special.slice(3),
  clean_up_tokenization_spaces: false,
  model_max_length: 1024,
  chat_template:
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}" +
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}",
};

/** Learns the merges from the corpus; seconds. */
export function tokenizerFiles() {
  const contents = composeCorpus().flatMap(({ text, messages }) =>
    messages ? messages.map(({ content }) => content) : [text],
  );
  const merges = learnMerges(contents, vocabularySize - special.length - bytes);
  return { tokenizerFile: tokenizerJson(merges, special), tokenizerConfig };
}
