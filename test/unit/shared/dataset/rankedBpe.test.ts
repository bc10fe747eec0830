import { readFileSync } from "node:fs";
import * as library from "@huggingface/tokenizers";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RankedBpe } from "../../../../shared/dataset/rankedBpe.ts";
import { tinyTokenizer } from "../../../support/tinyTokenizer.ts";

type Model = { bpe(word: string): string[] };
const { BPE } = library as unknown as { BPE: new (config: unknown) => Model };

/** A vocabulary of a few letters, and merges of what earlier merges made. */
const model = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 40 }).map((choices) => {
  const tokens = ["a", "b", "c", "问", "😀"];
  const merges: [string, string][] = [];
  for (const [left, right] of choices) {
    const pair: [string, string] = [tokens[left % tokens.length]!, tokens[right % tokens.length]!];
    merges.push(pair);
    if (!tokens.includes(pair.join(""))) tokens.push(pair.join(""));
  }
  return { type: "BPE", merges, vocab: Object.fromEntries(tokens.map((token, id) => [token, id])) };
});
/** "x" is in no vocabulary. */
const word = fc
  .array(fc.constantFrom("a", "b", "c", "问", "😀", "x"), { maxLength: 60 })
  .map((letters) => letters.join(""));

describe("RankedBpe", () => {
  it("merges exactly as the library does, whatever the merges", () => {
    fc.assert(
      fc.property(model, fc.array(word, { maxLength: 10 }), (config, words) => {
        const theirs = new BPE(config);
        const ours = RankedBpe.create(config)!;
        for (const one of words) expect(ours.bpe(one)).toEqual(theirs.bpe(one));
      }),
      { numRuns: 500 },
    );
  });

  it("merges text by the built-in model's vocabulary as the library does, also very long words", () => {
    const { model: config } = JSON.parse(readFileSync("deploy/demo/model/tokenizer.json", "utf8"));
    const theirs = new BPE(config);
    const ours = RankedBpe.create(config)!;
    const words = Object.keys(config.vocab) as string[];
    for (let at = 0; at < words.length; at++) {
      const one = words.slice(at, at + (at % 7) + 1).join("");
      expect(ours.bpe(one)).toEqual(theirs.bpe(one));
    }
    const long = words.join("");
    expect(ours.bpe(long)).toEqual(theirs.bpe(long));
  });

  it("takes merges written as one text, the form of older files", () => {
    const config = { vocab: { a: 0, b: 1, ab: 2 }, merges: ["a b"] };
    expect(RankedBpe.create(config)?.bpe("aabb")).toEqual(["a", "ab", "b"]);
  });

  it("leaves models that are something more to the library", () => {
    const { model: config } = JSON.parse(tinyTokenizer("/m", { merges: [["a", "b"]] }).tokenizer);
    expect(RankedBpe.create(config)).toBeDefined();
    for (const change of [
      { type: "Unigram" },
      { dropout: 0.1 },
      { end_of_word_suffix: "</w>" },
      { continuing_subword_prefix: "##" },
      { merges: [["a", "nothing"]] },
    ]) {
      expect(RankedBpe.create({ ...config, ...change })).toBeUndefined();
    }
  });
});
