import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { alignTokens } from "../../../../shared/dataset/alignTokens.ts";

const align = (text: string, tokens: readonly string[]) =>
  alignTokens(
    Buffer.from(text),
    tokens.map((token) => Buffer.from(token)),
  );

describe("alignTokens", () => {
  it("finds where each token ends, however the bytes of a text are cut", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.array(fc.nat(60)), (text, cuts) => {
        const bytes = Buffer.from(text);
        const ends = [...new Set([...cuts.filter((cut) => cut > 0 && cut < bytes.length), bytes.length])];
        ends.sort((a, b) => a - b);
        const tokens = ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
        expect(alignTokens(bytes, tokens)).toEqual(ends);
      }),
    );
  });

  it("gives the space that SentencePiece puts in front no bytes", () => {
    expect(align("Hi you", [" Hi", " you"])).toEqual([2, 6]);
    expect(align("Hi", [" ", "Hi"])).toEqual([0, 2]);
    expect(align("<s>Hi", ["<s>", " Hi"])).toEqual([3, 5]);
  });

  it("leaves out white space that an added token strips", () => {
    expect(align("a  <mask> b", ["a", "<mask>", "b"])).toEqual([1, 9, 11]);
    expect(align("a\n", ["a"])).toEqual([1]);
  });

  it("gives up where tokens do not spell the text", () => {
    expect(align("Ａ", ["A"])).toBeUndefined();
    expect(align("abc", ["ab"])).toBeUndefined();
    expect(align("ab", ["ab", "c"])).toBeUndefined();
    expect(alignTokens(Buffer.from("a"), [undefined])).toBeUndefined();
  });
});
