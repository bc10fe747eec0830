import { describe, expect, it } from "vitest";
import { runConfigSchema } from "../../../../../shared/config/schema.ts";
import { readRow, rowFormats } from "../../../../../shared/dataset/formats/readRow.ts";

const auto = (row: unknown) => readRow(row as Record<string, unknown>, "auto", "rows.jsonl, line 7").conversation;
const dialogue = {
  messages: [
    { role: "user", content: "头痛怎么办？" },
    { role: "assistant", content: "多喝水。" },
  ],
};

describe("readRow", () => {
  it("reads HuatuoGPT rows with the full-width and with the ASCII colon", () => {
    expect(auto({ data: ["问：头痛怎么办？", "答：多喝水。"] })).toEqual(dialogue);
    expect(auto({ data: ["问:头痛怎么办？", "答:多喝水。"] })).toEqual(dialogue);
  });

  it("removes one colon only and keeps white space", () => {
    expect(auto({ data: ["问：： a", "答: b "] })).toEqual({
      messages: [
        { role: "user", content: "： a" },
        { role: "assistant", content: " b " },
      ],
    });
  });

  it("reads ShareGPT rows with each name that speakers have there", () => {
    const turn = (from: string, value: string) => ({ from, value });
    expect(auto({ conversations: [turn("human", "头痛怎么办？"), turn("gpt", "多喝水。")] })).toEqual(dialogue);
    expect(auto({ conversations: [turn("user", "头痛怎么办？"), turn("assistant", "多喝水。")] })).toEqual(dialogue);
    expect(auto({ conversations: [turn("system", "医生")] })).toEqual({
      messages: [{ role: "system", content: "医生" }],
    });
  });

  it("reads OpenAI messages", () => {
    expect(auto(dialogue)).toEqual(dialogue);
  });

  it("reads Alpaca rows, with the input after the instruction", () => {
    expect(auto({ instruction: "头痛怎么办？", input: "", output: "多喝水。" })).toEqual(dialogue);
    expect(auto({ instruction: "Add.", input: "1 2", output: "3", system: "Be brief." })).toEqual({
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Add.\n\n1 2" },
        { role: "assistant", content: "3" },
      ],
    });
  });

  it("reads ShareGPT's turns in OpenAI's words, and a system text beside them", () => {
    const conversations = [
      { role: "user", content: "头痛怎么办？" },
      { from: "bot", value: "多喝水。" },
    ];
    expect(auto({ system: "医生", conversations })).toEqual({
      messages: [{ role: "system", content: "医生" }, ...dialogue.messages],
    });
  });

  it("reads Alpaca's history before the instruction", () => {
    expect(auto({ instruction: "b", output: "2", history: [["a", "1"]] })).toEqual({
      messages: [
        { role: "user", content: "a" },
        { role: "assistant", content: "1" },
        { role: "user", content: "b" },
        { role: "assistant", content: "2" },
      ],
    });
  });

  it("reads prompt and completion, as texts and as messages", () => {
    expect(auto({ prompt: "头痛怎么办？", completion: "多喝水。" })).toEqual(dialogue);
    const [question, answer] = dialogue.messages;
    expect(auto({ prompt: [question], completion: [answer] })).toEqual(dialogue);
  });

  it("reads task instances in SWE-bench's form, also where they have a text column", () => {
    const row = { repo: "a/b", problem_statement: "头痛怎么办？", patch: "多喝水。", text: "…" };
    expect(auto(row)).toEqual(dialogue);
    expect(readRow(row, "auto", "x, line 1").format).toBe("swe");
  });

  it("reads plain text", () => {
    expect(auto({ text: "Es war einmal." })).toEqual({ text: "Es war einmal." });
  });

  it("names file, line, the keys found and the formats known when a row fits none", () => {
    expect(() => auto({ question: "a", answer: "b" })).toThrow(
      expect.objectContaining({
        code: "DATA_INVALID",
        message: expect.stringMatching(
          /^rows\.jsonl, line 7: the row has the keys "question", "answer", which fit none of the known formats: huatuo .*sharegpt .*openai .*alpaca .*text /,
        ),
      }),
    );
  });

  it("refuses a row of another format when one is asked for", () => {
    expect(() => readRow({ text: "a" }, "sharegpt", "x.jsonl, line 1")).toThrow(/"text".*not the format sharegpt/);
  });

  it.each([
    [{ data: "问：a" }, /has a string instead of an array in data/],
    [{ data: ["问：a", 3] }, /has a number instead of text in data\[1\]/],
    [{ data: ["问：a", "b"] }, /data\[1\] that begins with neither 问： nor 答： but "b"/],
    [{ conversations: null }, /has null instead of an array in conversations/],
    [{ conversations: ["a"] }, /has a string instead of an object in conversations\[0\]/],
    [
      { conversations: [{ from: "robot", value: "a" }] },
      /unknown speaker "robot" in conversations\[0\]\.from \(known: /,
    ],
    [{ conversations: [{ from: "toString", value: "a" }] }, /unknown speaker "toString"/],
    [{ messages: [{ role: "user" }] }, /has nothing instead of text in messages\[0\]\.content/],
    [{ instruction: "a", output: ["b"] }, /has an array instead of text in output/],
    [{ text: { a: 1 } }, /has an object instead of text in text/],
  ])("says what is wrong inside a row: %j", (row, message) => {
    expect(() => auto(row)).toThrow(message);
    expect(() => auto(row)).toThrow(/^rows\.jsonl, line 7: the row /);
  });

  it("treats keys such as __proto__ as data", () => {
    const row = JSON.parse('{"__proto__": {"text": "inherited"}}');
    expect(() => auto(row)).toThrow(/the keys "__proto__", which fit none/);
    const turn = JSON.parse('{"messages": [{"__proto__": {"role": "user"}, "content": "a"}]}');
    expect(() => auto(turn)).toThrow(/has nothing instead of text in messages\[0\]\.role/);
  });

  it("knows exactly the formats that the configuration offers", () => {
    const offered = runConfigSchema.shape.format.unwrap().options;
    expect(["auto", ...rowFormats.map(({ name }) => name)].sort()).toEqual([...offered].sort());
  });
});
