import { describe, expect, it } from "vitest";
import { columnProblems, mapColumns } from "../../../../shared/dataset/columns.ts";

describe("mapColumns", () => {
  it("gives columns the names that a format looks for, and keeps the others", () => {
    const map = mapColumns(["instruction=question", "output = answer"]);
    expect(map({ question: "q", answer: "a", id: 1 })).toEqual({ instruction: "q", output: "a", id: 1 });
  });

  it("swaps names, and puts a renamed column in the place of one of that name", () => {
    expect(mapColumns(["input=output", "output=input"])({ input: 1, output: 2 })).toEqual({ input: 2, output: 1 });
    expect(mapColumns(["text=body"])({ text: "title", body: "text" })).toEqual({ text: "text" });
  });

  it("leaves a row alone that has none of the columns", () => {
    const row = JSON.parse('{"__proto__": 1, "text": "t"}');
    expect(mapColumns(["instruction=question"])(row)).toBe(row);
    expect(Object.keys(mapColumns(["output=text"])(row))).toEqual(["__proto__", "output"]);
  });
});

describe("columnProblems", () => {
  it("finds nothing wrong with names that formats have", () => {
    expect(columnProblems(["problem_statement=issue", "patch=diff"])).toEqual([]);
  });

  it.each([
    ["question", /wants KEY=COLUMN, such as instruction=question, got "question"/],
    ["=a", /wants KEY=COLUMN/],
    ["instructions=q", /no format has a key "instructions" \(did you mean instruction\?\); known: completion, /],
  ])("says what is wrong with %s", (entry, message) => {
    expect(columnProblems([entry])).toEqual([expect.stringMatching(message)]);
  });

  it("refuses two columns of one name", () => {
    expect(columnProblems(["text=a", "text=b"])).toEqual(["--columns names text twice."]);
  });
});
