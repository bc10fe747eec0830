import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type AugmentOptions,
  augmentConversation,
  augmentText,
  parseSynonyms,
} from "../../../../shared/dataset/augment.ts";
import { randomKey } from "../../../../shared/rng.ts";

const nothing: AugmentOptions = { synonyms: undefined, replace: 0, swap: 0, delete: 0 };
const key = (...parts: number[]) => randomKey("test", ...parts);
const sorted = (text: string) => [...text].sort().join("");

describe("augmentText", () => {
  it("replaces words by their synonyms, whole words and the longest ones first", () => {
    const synonyms = parseSynonyms("# pains\n头痛,头疼\n头痛欲裂\t剧烈头痛\nache，pain\n", "s.txt");
    const text = augmentText("头痛欲裂,头痛。ache, headache", { ...nothing, synonyms, replace: 1 }, key(1));
    expect(text).toBe("剧烈头痛,头疼。pain, headache");
    expect(augmentText("头痛", { ...nothing, synonyms, replace: 0 }, key(1))).toBe("头痛");
  });

  it("swaps neighbours and keeps every character", () => {
    const all = { ...nothing, swap: 1 };
    expect(augmentText("one two three", all, key(1))).toBe("two one three");
    const chinese = augmentText("感冒应该吃什么药呢", all, key(1));
    expect(chinese).not.toBe("感冒应该吃什么药呢");
    expect(sorted(chinese)).toBe(sorted("感冒应该吃什么药呢"));
  });

  it("deletes words with the space behind them, but never all", () => {
    const all = { ...nothing, delete: 1 };
    expect(augmentText("one two three?", all, key(1))).toBe("three?");
    expect(augmentText("感冒", all, key(1))).toBe("感冒");
  });

  it("changes about the share of words that is asked for", () => {
    const text = Array.from({ length: 2000 }, (_, index) => `w${index}`).join(" ");
    const left = augmentText(text, { ...nothing, delete: 0.1 }, key(3)).split(" ").length;
    expect(left).toBeGreaterThan(1700);
    expect(left).toBeLessThan(1900);
  });

  it("gives the same for the same key, and any text comes through", () => {
    const some = { ...nothing, swap: 0.3, delete: 0.3 };
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.nat(), (text, seed) => {
        expect(augmentText(text, some, key(seed))).toBe(augmentText(text, some, key(seed)));
        expect(augmentText(text, nothing, key(seed))).toBe(text);
      }),
    );
  });
});

it("changes what the user says and nothing else", () => {
  const messages = [
    { role: "system" as const, content: "be kind and brief" },
    { role: "user" as const, content: "what helps against a cold" },
    { role: "assistant" as const, content: "rest and tea" },
  ];
  const varied = augmentConversation({ messages, tools: [] }, { ...nothing, swap: 1 }, key(1));
  expect(varied).toEqual({
    messages: [messages[0], { role: "user", content: expect.not.stringMatching(/^what helps/) }, messages[2]],
    tools: [],
  });
  expect(augmentConversation({ messages }, nothing, key(1))).toBeUndefined();
  expect(augmentConversation({ text: "one two" }, { ...nothing, swap: 1 }, key(1))).toEqual({ text: "two one" });
});

it("refuses a dictionary with a line of one word, or with none", () => {
  expect(() => parseSynonyms("a,b\nc\n", "s.txt")).toThrow(
    /^s\.txt, line 2: a line of --augment-synonyms has two words/,
  );
  expect(() => parseSynonyms("\n", "s.txt")).toThrow(/^s\.txt has no synonyms/);
});
