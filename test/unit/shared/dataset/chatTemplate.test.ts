import { describe, expect, it } from "vitest";
import { compileChatTemplate, findChatTemplate } from "../../../../shared/dataset/chatTemplate.ts";
import type { Message } from "../../../../shared/dataset/conversation.ts";
import { namedTemplates } from "../../../../shared/dataset/templates/namedTemplates.ts";
import { createTokenizer, type TokenizerFiles } from "../../../../shared/dataset/tokenizer.ts";
import { tinyTokenizer } from "../../../support/tinyTokenizer.ts";

const user = (content: string): Message => ({ role: "user", content });
const assistant = (content: string): Message => ({ role: "assistant", content });
const system = (content: string): Message => ({ role: "system", content });
const chat = [user("Q1"), assistant("A1"), user("Q2"), assistant("A2")];

const find = (name: string, files: TokenizerFiles) => findChatTemplate(name, files, createTokenizer(files));
const compile = (text: string, named = false) =>
  compileChatTemplate({ origin: "a test", text, named }, createTokenizer(tinyTokenizer("/model")));
const named = (name: string) => compile(namedTemplates.get(name)!, true);

describe("findChatTemplate", () => {
  it("takes the text of tokenizer_config.json, or the one named default of its list", () => {
    expect(find("auto", tinyTokenizer("/model", { chatTemplate: "A" }))?.text).toBe("A");
    const list = [
      { name: "tool_use", template: "T" },
      { name: "default", template: "D" },
    ];
    expect(find("auto", tinyTokenizer("/model", { chatTemplate: list }))?.text).toBe("D");
  });

  it("takes chat_template.jinja before tokenizer_config.json", () => {
    const files = { ...tinyTokenizer("/model", { chatTemplate: "A" }), chatTemplate: "J" };
    expect(find("auto", files)).toEqual({ origin: "chat_template.jinja in /model", text: "J", named: false });
  });

  it("finds none in a tokenizer without one, but named ones", () => {
    const files = tinyTokenizer("/model", { chatTemplate: null });
    expect(find("auto", files)).toBeUndefined();
    expect(find("vicuna", files)?.named).toBe(true);
  });

  it("refuses an unknown name with the nearest and all known ones, and a list without a default", () => {
    expect(() => find("vicunia", tinyTokenizer("/model"))).toThrow(
      'There is no chat template "vicunia" (did you mean vicuna?); known: auto, chatml, qwen, vicuna, llama2, llama3, mistral, zephyr, deepseek, alpaca, plain.',
    );
    const list = [{ name: "rag", template: "R" }];
    expect(() => find("auto", tinyTokenizer("/model", { chatTemplate: list }))).toThrow(/neither a text nor one/);
  });
});

describe("compileChatTemplate", () => {
  it("gives templates the special tokens, and what transformers defines beside the messages", () => {
    const text =
      "{{ bos_token }}|{{ eos_token }}|{{ tools is none }}|{% for i in range(3) %}{{ i }}{% endfor %}|{{ messages[0].content }}";
    expect(compile(text)([user("hello")], false)).toBe("<s>|<|im_end|>|true|012|hello");
  });

  it("drops the line break after a block, as transformers does", () => {
    expect(compile("{% if true %}\n  {% if true %}\nx{% endif %}\n{% endif %}\n")([], false)).toBe("x");
  });

  it("writes a fixed date, so that samples do not depend on the day", () => {
    expect(compile("{{ strftime_now('%d %b %Y %B %m') }}")([], false)).toBe("26 Jul 2024 July 07");
  });

  it("says where a template that cannot be compiled comes from", () => {
    expect(() => compile("{% if %}")).toThrow(
      expect.objectContaining({
        code: "TEMPLATE_INVALID",
        message: expect.stringMatching(/^a test cannot be compiled/),
      }),
    );
  });
});

describe("named templates", () => {
  it.each([
    [
      "chatml",
      "<s><|im_start|>user\nQ1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n<|im_start|>user\nQ2<|im_end|>\n<|im_start|>assistant\nA2<|im_end|>\n",
      "<|im_start|>assistant\n",
    ],
    [
      "vicuna",
      "<s>A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions. USER: Q1 ASSISTANT: A1<|im_end|>USER: Q2 ASSISTANT: A2<|im_end|>",
      "ASSISTANT:",
    ],
    [
      "qwen",
      "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nQ1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n<|im_start|>user\nQ2<|im_end|>\n<|im_start|>assistant\nA2<|im_end|>\n",
      "<|im_start|>assistant\n",
    ],
    [
      "llama3",
      "<s><|start_header_id|>user<|end_header_id|>\n\nQ1<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA1<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nQ2<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA2<|eot_id|>",
      "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ],
    ["mistral", "<s>[INST] Q1 [/INST] A1<|im_end|>[INST] Q2 [/INST] A2<|im_end|>", ""],
    [
      "zephyr",
      "<|user|>\nQ1<|im_end|>\n<|assistant|>\nA1<|im_end|>\n<|user|>\nQ2<|im_end|>\n<|assistant|>\nA2<|im_end|>\n",
      "<|assistant|>\n",
    ],
    ["llama2", "<s>[INST] Q1 [/INST] A1 <|im_end|><s>[INST] Q2 [/INST] A2 <|im_end|>", ""],
    ["deepseek", "<s>User: Q1\n\nAssistant: A1<|im_end|>User: Q2\n\nAssistant: A2<|im_end|>", "Assistant:"],
    [
      "alpaca",
      "<s>Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\nQ1\n\n### Response:A1<|im_end|>\n\n### Instruction:\nQ2\n\n### Response:A2<|im_end|>",
      "### Response:",
    ],
    ["plain", "<s>Q1\nA1<|im_end|>Q2\nA2<|im_end|>", ""],
  ])("%s renders a dialogue exactly", (name, text, prompt) => {
    expect(named(name)(chat, false)).toBe(text);
    expect(named(name)(chat, true)).toBe(text + prompt);
  });

  it.each([...namedTemplates.keys()])("%s writes each turn alike whether or not more follow", (name) => {
    const render = named(name);
    for (const messages of [chat, [system("SYSTEM"), ...chat]]) {
      const text = render(messages, false);
      for (let turn = 1; turn <= messages.length; turn++) {
        const next = messages[turn]?.role === "assistant";
        expect(text.startsWith(render(messages.slice(0, turn), next))).toBe(true);
      }
      expect(text.includes("SYSTEM")).toBe(messages !== chat);
    }
  });

  it("leave out the BOS token of a tokenizer that does not begin texts with it", () => {
    const files = tinyTokenizer("/model");
    const tokenizer = createTokenizer({
      ...files,
      tokenizer: JSON.stringify({ ...JSON.parse(files.tokenizer), post_processor: null }),
    });
    const source = { origin: "a test", text: namedTemplates.get("plain")!, named: true };
    expect(compileChatTemplate(source, tokenizer)([user("Q")], false)).toBe("Q\n");
  });

  it("llama2 puts the system message into the first question and refuses turns that do not alternate", () => {
    expect(named("llama2")([system("S"), user(" Q ")], false)).toBe("<s>[INST] <<SYS>>\nS\n<</SYS>>\n\n Q [/INST]");
    expect(() => named("llama2")([user("a"), user("b")], false)).toThrow(/must alternate/);
  });
});
