import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TokenizerFiles } from "../../shared/dataset/tokenizer.ts";

/** GPT-2's byte alphabet, written out apart from the code under test. */
export const byteCharacters: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  if (printable) return String.fromCharCode(byte);
  const before = Array.from({ length: byte }, (_, other) => other).filter(
    (other) => !((other >= 33 && other <= 126) || (other >= 161 && other <= 172) || other >= 174),
  ).length;
  return String.fromCharCode(256 + before);
});

export const tinyTemplate =
  "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message.role }}{{ '\\n' }}{{ message.content }}<|im_end|>{{ '\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant{{ '\\n' }}{% endif %}";

export interface TinyTokenizerOptions {
  /** Pairs of token spellings that merge, in order of rank. */
  readonly merges?: readonly (readonly [string, string])[];
  readonly chatTemplate?: unknown;
  readonly config?: Record<string, unknown>;
}

/** A byte-level tokenizer with one id per byte, the given merges, and `<s>`, `<|im_end|>`, `<|im_start|>`. */
export function tinyTokenizer(directory: string, options: TinyTokenizerOptions = {}): TokenizerFiles {
  const merges = options.merges ?? [];
  const vocabulary = Object.fromEntries(
    [...byteCharacters, ...merges.map((pair) => pair.join(""))].map((token, id) => [token, id]),
  );
  const firstSpecial = Object.keys(vocabulary).length;
  const tokenizer = {
    version: "1.0",
    added_tokens: ["<s>", "<|im_end|>", "<|im_start|>"].map((content, index) => ({
      id: firstSpecial + index,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
      special_tokens: { "<s>": { id: "<s>", ids: [firstSpecial], tokens: ["<s>"] } },
    },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: "BPE", dropout: null, unk_token: null, vocab: vocabulary, merges, byte_fallback: false },
  };
  const config = {
    bos_token: "<s>",
    eos_token: "<|im_end|>",
    clean_up_tokenization_spaces: false,
    ...(options.chatTemplate === null ? {} : { chat_template: options.chatTemplate ?? tinyTemplate }),
    ...options.config,
  };
  return { directory, tokenizer: JSON.stringify(tokenizer), config: JSON.stringify(config), chatTemplate: undefined };
}

/** Writes a tokenizer's files into its directory. */
export async function writeTokenizer(files: TokenizerFiles): Promise<void> {
  await mkdir(files.directory, { recursive: true });
  await writeFile(join(files.directory, "tokenizer.json"), files.tokenizer);
  if (files.config !== undefined) await writeFile(join(files.directory, "tokenizer_config.json"), files.config);
  if (files.chatTemplate !== undefined) {
    await writeFile(join(files.directory, "chat_template.jinja"), files.chatTemplate);
  }
}
