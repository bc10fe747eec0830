import { describe, expect, it } from "vitest";
import { compileChatTemplate } from "../../../../shared/dataset/chatTemplate.ts";
import type { Conversation, Message } from "../../../../shared/dataset/conversation.ts";
import { type EncodeOptions, encodeSample, type LengthLimit } from "../../../../shared/dataset/encodeSample.ts";
import { namedTemplates } from "../../../../shared/dataset/templates/namedTemplates.ts";
import { createTokenizer, type TextTokenizer } from "../../../../shared/dataset/tokenizer.ts";
import { byteCharacters, tinyTemplate, tinyTokenizer } from "../../../support/tinyTokenizer.ts";

const user = (content: string): Message => ({ role: "user", content });
const assistant = (content: string): Message => ({ role: "assistant", content });

interface Setting {
  readonly tokenizer?: TextTokenizer;
  readonly template?: string;
  readonly maxLength?: number;
  readonly limit?: Partial<LengthLimit>;
  readonly trainOnInputs?: boolean;
}

function encode(conversation: Conversation, setting: Setting = {}) {
  const tokenizer = setting.tokenizer ?? createTokenizer(tinyTokenizer("/model"));
  const text = setting.template ?? tinyTemplate;
  const options: EncodeOptions = {
    tokenizer,
    render: compileChatTemplate({ origin: "a test", text, named: false }, tokenizer),
    templateOrigin: "the template of the test",
    maxLength: setting.maxLength ?? 1000,
    ...setting.limit,
    trainOnInputs: setting.trainOnInputs ?? false,
  };
  const outcome = encodeSample(conversation, options, "rows.jsonl, line 3");
  if (typeof outcome === "string") return outcome;
  const spell = (wanted: number) => {
    const chosen = [...outcome.ids].filter((_, index) => outcome.mask[index] === wanted);
    return Buffer.concat(chosen.map((id) => tokenizer.tokenBytes(spelling(tokenizer, id))!)).toString("utf8");
  };
  return { ...outcome, labels: spell(1), masked: spell(0) };
}

const spellings = new WeakMap<TextTokenizer, Map<number, string>>();
/** The tiny tokenizers' ids are few enough to be tried out. */
function spelling(tokenizer: TextTokenizer, id: number): string {
  let known = spellings.get(tokenizer);
  if (known === undefined) {
    known = new Map();
    const texts = ["<s><|im_end|><|im_start|>", ...merges.map(([a, b]) => a + b)];
    for (const text of texts) {
      const { ids, tokens } = tokenizer.encode(text, false);
      Array.from(ids).forEach((one, index) => {
        known!.set(one, tokens[index]!);
      });
    }
    byteCharacters.forEach((character, byte) => {
      known!.set(byte, character);
    });
    spellings.set(tokenizer, known);
  }
  return known.get(id)!;
}

const merges = [
  ["a", "b"],
  ["ab", "c"],
] as const;

describe("encodeSample", () => {
  it("labels each answer with the token that ends it, and nothing else", () => {
    const messages = [user("问题"), assistant("答案"), user("Q2"), assistant("A2")];
    const sample = encode({ messages });
    expect(sample).toMatchObject({
      labels: "答案<|im_end|>A2<|im_end|>",
      masked:
        "<s><|im_start|>user\n问题<|im_end|>\n<|im_start|>assistant\n\n<|im_start|>user\nQ2<|im_end|>\n<|im_start|>assistant\n\n",
      cutTokens: 0,
    });
  });

  it("has the ids of the rendered text tokenized as a whole", () => {
    const tokenizer = createTokenizer(tinyTokenizer("/model", { merges }));
    const messages = [user("Qa"), assistant("bcd abc")];
    const sample = encode({ messages }, { tokenizer, template: "{% for m in messages %}{{ m.content }}{% endfor %}" });
    expect(sample).toMatchObject({ ids: Uint32Array.from(tokenizer.encode("Qabcd abc", false).ids) });
  });

  it("counts a token that holds the end of the question and the start of the answer as a label", () => {
    const tokenizer = createTokenizer(tinyTokenizer("/model", { merges }));
    const template = "{% for m in messages %}{{ m.content }}{% endfor %}";
    const sample = encode({ messages: [user("Qa"), assistant("bcd")] }, { tokenizer, template });
    expect(sample).toMatchObject({ masked: "Q", labels: "abcd" });
  });

  it("labels an answer whose template ends it with no special token to the end of its turn", () => {
    const template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}";
    const sample = encode({ messages: [user("Q"), assistant("A")] }, { template: `${template}` });
    expect(sample).toMatchObject({ masked: "[user] Q\n", labels: "[assistant] A\n" });
  });

  it("labels everything with trainOnInputs", () => {
    const sample = encode({ messages: [user("Q"), assistant("A")] }, { trainOnInputs: true });
    expect(sample).toMatchObject({ masked: "" });
    expect(encode({ messages: [user("Q")] }, { trainOnInputs: true })).toMatchObject({
      labels: "<s><|im_start|>user\nQ<|im_end|>\n",
    });
  });

  it("learns plain text with the tokenizer's BOS and its end token, and no template", () => {
    expect(encode({ text: "a b" })).toMatchObject({ labels: "<s>a b<|im_end|>", masked: "" });
    expect(encode({ text: "a b<|im_end|>" })).toMatchObject({ labels: "<s>a b<|im_end|>" });
  });

  it("cuts on the right and says so", () => {
    const full = encode({ messages: [user("Q"), assistant("abcdef")] });
    const cut = encode({ messages: [user("Q"), assistant("abcdef")] }, { maxLength: 25 });
    if (typeof full === "string" || typeof cut === "string") throw new Error("dropped");
    expect(cut.cutTokens).toBe(full.ids.length - 25);
    expect(cut.ids).toEqual(full.ids.slice(0, 25));
    expect(cut.mask).toEqual(full.mask.slice(0, 25));
  });

  it("cuts on the left where it is to, and drops or refuses what is too long", () => {
    const dialogue = { messages: [user("Q"), assistant("abcdef")] };
    const full = encode(dialogue);
    const left = encode(dialogue, { maxLength: 10, limit: { truncationSide: "left" } });
    if (typeof full === "string" || typeof left === "string") throw new Error("dropped");
    expect(left.ids).toEqual(full.ids.slice(-10));
    expect(left.mask).toEqual(full.mask.slice(-10));
    expect(encode(dialogue, { maxLength: 10, limit: { longSamples: "drop" } })).toBe("tooLong");
    expect(encode(dialogue, { limit: { longSamples: "drop" } })).toEqual(full);
    expect(() => encode(dialogue, { maxLength: 10, limit: { longSamples: "error" } })).toThrow(
      `rows.jsonl, line 3: the sample has ${full.ids.length} tokens, more than --max-length 10`,
    );
  });

  it("labels calls of tools as answers, and refuses templates that would leave them out", () => {
    const messages: Message[] = [
      user("Q"),
      { role: "assistant", content: "", fields: { content: null, tool_calls: [{ id: 1 }] } },
      { role: "tool", content: "R" },
      assistant("A"),
    ];
    const template =
      "{{ tools | tojson }}{% for m in messages %}{{ m.role }}:{% if m.content is none %}!{{ m.tool_calls | tojson }}" +
      "{% else %}{{ m.content }}{% endif %}<|im_end|>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";
    const tools = [{ name: "f" }];
    expect(encode({ messages, tools }, { template })).toMatchObject({
      labels: '![{"id": 1}]<|im_end|>A<|im_end|>',
      masked: '[{"name": "f"}]user:Q<|im_end|>assistant:tool:R<|im_end|>assistant:',
    });
    expect(() => encode({ messages })).toThrow("does not write calls of tools");
    expect(() => encode({ messages: [user("Q"), assistant("A")], tools })).toThrow("descriptions of tools");
  });

  it("drops what has nothing to learn, and tells it from what lies beyond the maximum length", () => {
    expect(encode({ messages: [] })).toBe("unlabelled");
    expect(encode({ messages: [user("Q")] })).toBe("unlabelled");
    expect(encode({ messages: [user("Q"), assistant(" \n")] })).toBe("unlabelled");
    expect(encode({ text: "  \n" })).toBe("unlabelled");
    expect(encode({ messages: [user("Q"), assistant("A")] }, { maxLength: 10 })).toBe("cut");
    expect(encode({ text: "abc" }, { maxLength: 1 })).toBe("cut");
  });

  it("does not label an empty answer among others", () => {
    const sample = encode({ messages: [user("Q"), assistant(""), user("R"), assistant("A")] });
    expect(sample).toMatchObject({ labels: "A<|im_end|>" });
  });

  it("refuses a template that writes earlier turns in another way when more follow, naming the row", () => {
    const template =
      "{% for m in messages %}{% if m.role == 'assistant' and not loop.last %}(gone){% else %}{{ m.role }}: {{ m.content }}\n{% endif %}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
    const messages = [user("Q"), assistant("A"), user("R"), assistant("B")];
    expect(() => encode({ messages }, { template })).toThrow(
      expect.objectContaining({
        code: "TEMPLATE_INVALID",
        message: expect.stringMatching(
          /^rows\.jsonl, line 3: the template of the test writes the text before message 2/,
        ),
      }),
    );
    expect(encode({ messages: messages.slice(0, 2) }, { template })).toMatchObject({ labels: "A\n" });
    expect(encode({ messages }, { template, trainOnInputs: true })).toMatchObject({ masked: "" });
  });

  it("finds the answers of a template that writes the last one in another way, as Qwen3's does", () => {
    const template =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    const messages = [user("Q"), assistant("A"), user("R"), assistant("B")];
    expect(encode({ messages }, { template })).toMatchObject({
      labels: "A<|im_end|><think>\n\n</think>\n\nB<|im_end|>",
    });
  });

  it("finds the answers of a template whose generation prompt begins to think, as DeepSeek-R1's does", () => {
    const template =
      "{% for m in messages %}[{{ m.role }}]{{ m.content.strip() }}{% if m.role == 'assistant' %}<|im_end|>{% endif %}{% endfor %}{% if add_generation_prompt %}[assistant]<think>\n{% endif %}";
    const messages = [user("Q"), assistant(" A\n"), user("R"), assistant("B")];
    expect(encode({ messages }, { template })).toMatchObject({
      labels: "A<|im_end|>B<|im_end|>",
      masked: "[user]Q[assistant][user]R[assistant]",
    });
  });

  it("names the row on which a template fails", () => {
    const template = "{{ raise_exception('only two turns, please') }}";
    expect(() => encode({ messages: [user("Q"), assistant("A")] }, { template })).toThrow(
      expect.objectContaining({
        code: "TEMPLATE_INVALID",
        message: "rows.jsonl, line 3: the template of the test fails on this row: only two turns, please.",
      }),
    );
  });

  it("treats text that looks like Jinja as text", () => {
    const sample = encode({ messages: [user("{{ 1 + 1 }}"), assistant("{% raw %}")] });
    expect(sample).toMatchObject({ labels: "{% raw %}<|im_end|>", masked: expect.stringContaining("{{ 1 + 1 }}") });
  });

  it("masks by what prefixes have in common where a normalizer changes the text", () => {
    const files = tinyTokenizer("/model");
    const description = { ...JSON.parse(files.tokenizer), normalizer: { type: "Lowercase" } };
    const tokenizer = createTokenizer({ ...files, tokenizer: JSON.stringify(description) });
    const sample = encode({ messages: [user("QUESTION"), assistant("ANSWER")] }, { tokenizer });
    expect(sample).toMatchObject({
      labels: "answer<|im_end|>",
      masked: "<s><|im_start|>user\nquestion<|im_end|>\n<|im_start|>assistant\n\n",
    });
  });

  it.each([...namedTemplates])("labels the answers of the template %s and their end tokens", (name, template) => {
    const sample = encode(
      { messages: [user("Q1"), assistant("first"), user("Q2"), assistant("second")] },
      { template },
    );
    if (typeof sample === "string") throw new Error("dropped");
    // Llama 3 has an end token of its own; this tokenizer does not know it, so it is text like any other.
    const end = name === "llama3" ? "<|eot_id|>" : "<|im_end|>";
    expect(sample.labels.replaceAll(" ", "")).toBe(`first${end}second${end}`);
  });
});
