import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Conversation, Message } from "../../../../../shared/dataset/conversation.ts";
import { readRow, rowFormats } from "../../../../../shared/dataset/formats/readRow.ts";
import { writeRow } from "../../../../../shared/dataset/formats/writeRow.ts";

const message = fc.record({ role: fc.constantFrom("system", "user", "assistant"), content: fc.string() });
const call = fc.record({
  role: fc.constant("assistant"),
  content: fc.constant(""),
  fields: fc.record({ tool_calls: fc.tuple(fc.record({ id: fc.string() })), content: fc.constantFrom("", null) }),
});
const conversation: fc.Arbitrary<Conversation> = fc.oneof(
  fc.record({ messages: fc.array(message as fc.Arbitrary<Message>, { maxLength: 6 }) }),
  fc.record({
    messages: fc.array(fc.oneof(message, call) as fc.Arbitrary<Message>, { maxLength: 4 }),
    tools: fc.array(fc.record({ name: fc.string() }), { minLength: 1, maxLength: 2 }),
  }),
  fc.record({ text: fc.string() }),
);

const attempt = (one: Conversation, format: string) => {
  try {
    return writeRow(one, format);
  } catch (thrown) {
    expect(thrown).toMatchObject({ name: "RowProblem" });
    return undefined;
  }
};

describe("writeRow", () => {
  it("writes rows that read as the same conversation, in every format that can hold it", () => {
    fc.assert(
      fc.property(conversation, fc.constantFrom(...rowFormats.map(({ name }) => name)), (one, format) => {
        const row = attempt(one, format);
        if (row === undefined) return;
        expect(readRow(JSON.parse(JSON.stringify(row)), "auto", "x, line 1")).toEqual({ format, conversation: one });
      }),
      { numRuns: 500 },
    );
  });

  it("writes a question and an answer in every format of dialogues", () => {
    const messages: Message[] = [
      { role: "user", content: "问" },
      { role: "assistant", content: "答" },
    ];
    expect(writeRow({ messages }, "huatuo")).toEqual({ data: ["问：问", "答：答"] });
    expect(writeRow({ messages }, "prompt-completion")).toEqual({ prompt: "问", completion: "答" });
    expect(writeRow({ messages }, "alpaca")).toEqual({ instruction: "问", input: "", output: "答" });
    for (const { name } of rowFormats) {
      if (name !== "text") expect(attempt({ messages }, name)).toBeDefined();
    }
  });

  it.each([
    ["huatuo", [{ role: "system", content: "s" }], /has a system message, which huatuo cannot hold/],
    ["alpaca", [{ role: "assistant", content: "a" }], /does not go question, answer/],
    ["swe", [{ role: "user", content: "q" }], /is not one question with one answer/],
    ["text", [{ role: "user", content: "q" }], /is a dialogue, which text cannot hold/],
  ])("says what %s cannot hold", (format, messages, problem) => {
    expect(() => writeRow({ messages: messages as Message[] }, format)).toThrow(problem);
    expect(() => writeRow({ messages: [], tools: [{}] }, "sharegpt")).toThrow(/has tools, which sharegpt cannot hold/);
    expect(() => writeRow({ text: "t" }, "sharegpt")).toThrow(/is plain text, which sharegpt cannot hold/);
  });
});
