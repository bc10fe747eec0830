import { Tokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTokenizer, type TokenizerFiles } from "../../../../shared/dataset/tokenizer.ts";
import { tinyTokenizer } from "../../../support/tinyTokenizer.ts";

const words = "(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s+(?!\\S)|\\s+";
const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true };
const llama3 = {
  type: "Sequence",
  pretokenizers: [
    { type: "Split", pattern: { Regex: words }, behavior: "Isolated", invert: false },
    { ...byteLevel, use_regex: false },
  ],
};

/** The tiny tokenizer with other steps, and a few merges. */
function files(change: object): TokenizerFiles {
  const tiny = tinyTokenizer("/model");
  return { ...tiny, tokenizer: JSON.stringify({ ...JSON.parse(tiny.tokenizer), ...change }) };
}

const text = fc.stringMatching(
  /^(<s>|<\|im_(start|end)\|>|[a-c ]{1,4}|[\n\t ]|[0-9]{1,5}|e\u0301|\u00e9|問答|😀|.){0,12}$/u,
);

describe("the encoding of byte-level tokenizers", () => {
  it.each([
    ["Llama 3's", { pre_tokenizer: llama3 }],
    ["Qwen's", { pre_tokenizer: llama3, normalizer: { type: "NFC" } }],
    ["GPT-2's", { pre_tokenizer: { ...byteLevel, use_regex: true } }],
  ])("gives what the library gives, with steps like %s", (_, change) => {
    const { config, tokenizer } = files(change);
    const quick = createTokenizer(files(change));
    const library = new Tokenizer(JSON.parse(tokenizer), JSON.parse(config ?? "{}"));
    expect(quick.encode("a<s> b", false).ends).toBeDefined();
    fc.assert(
      fc.property(text, (one) => {
        const { ends, ids, tokens } = quick.encode(one, false);
        const expected = library.encode(one, { add_special_tokens: false });
        expect({ ids: Array.from(ids), tokens }).toEqual({ ids: expected.ids, tokens: expected.tokens });
        if (ends && one !== "") expect(ends[ends.length - 1]).toBe(Buffer.byteLength(one));
      }),
      { numRuns: 500 },
    );
  });

  it("keeps a word that is a token whole where the model says so, and takes a lone surrogate for U+FFFD", () => {
    const { model } = JSON.parse(tinyTokenizer("/model").tokenizer);
    const size = Object.keys(model.vocab).length;
    // No merge leads to the first one.
    const vocab = { ...model.vocab, cab: size + 100, Ġab: size + 101 };
    const change = { pre_tokenizer: llama3, model: { ...model, vocab, ignore_merges: true } };
    const { config, tokenizer } = files(change);
    const quick = createTokenizer(files(change));
    const library = new Tokenizer(JSON.parse(tokenizer), JSON.parse(config ?? "{}"));
    for (const one of ["cab", "cab ab cabs", "\ud800", "a\udc00b", "\ud83d\ude00", "問".repeat(200)]) {
      const { ends, ids } = quick.encode(one, false);
      expect(ends, one).toBeDefined();
      expect(Array.from(ids), one).toEqual(library.encode(one, { add_special_tokens: false }).ids);
    }
    expect(quick.encode("cab", false).ids).toHaveLength(1);
  });

  it("is left to the library where a tokenizer does more", () => {
    const endsOf = (change: object) => createTokenizer(files(change)).encode("a b", false).ends;
    expect(endsOf({ pre_tokenizer: { ...byteLevel, add_prefix_space: true, use_regex: true } })).toBeUndefined();
    expect(endsOf({ pre_tokenizer: llama3, normalizer: { type: "Lowercase" } })).toBeUndefined();
    const composed = createTokenizer(files({ pre_tokenizer: llama3, normalizer: { type: "NFC" } }));
    expect(composed.encode("e\u0301", false).ends).toBeUndefined();
    expect(composed.encode("\u00e9", false).ends).toHaveLength(2);
  });
});
