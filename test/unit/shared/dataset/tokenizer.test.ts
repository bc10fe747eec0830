import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTokenizer, readTokenizerFiles } from "../../../../shared/dataset/tokenizer.ts";
import { byteCharacters, tinyTokenizer, writeTokenizer } from "../../../support/tinyTokenizer.ts";

describe("createTokenizer", () => {
  it("knows the special tokens, whether written as text or as objects, and their ids", () => {
    const tokenizer = createTokenizer(
      tinyTokenizer("/m", { config: { bos_token: { content: "<s>", lstrip: false } } }),
    );
    expect(tokenizer.specialTokens).toEqual({ bos_token: "<s>", eos_token: "<|im_end|>" });
    expect([tokenizer.eosId, tokenizer.addsBos, tokenizer.largestId]).toEqual([257, true, 258]);
    expect([256, 257, 258, 97].map(tokenizer.isSpecial)).toEqual([true, true, true, false]);
  });

  it("spells every text back from its tokens", () => {
    const tokenizer = createTokenizer(tinyTokenizer("/m", { merges: [["a", "b"]] }));
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const { tokens } = tokenizer.encode(text, false);
        expect(Buffer.concat(tokens.map((token) => tokenizer.tokenBytes(token)!)).toString("utf8")).toBe(text);
      }),
    );
    expect(byteCharacters.map((character) => tokenizer.tokenBytes(character)![0])).toEqual([...Array(256).keys()]);
  });

  it("spells SentencePiece tokens: spaces as U+2581, lone bytes as <0xNN>", () => {
    const files = tinyTokenizer("/m");
    const description = { ...JSON.parse(files.tokenizer), pre_tokenizer: null, decoder: { type: "Fuse" } };
    const { tokenBytes } = createTokenizer({ ...files, tokenizer: JSON.stringify(description) });
    expect(tokenBytes("\u2581Hi")?.toString()).toBe(" Hi");
    expect(tokenBytes("<0xE4>")).toEqual(Buffer.of(0xe4));
    expect(tokenBytes("<s>")?.toString()).toBe("<s>");
  });

  it("does without keys of tokenizer.json that the format lets out, and without tokenizer_config.json", () => {
    const files = tinyTokenizer("/m");
    const { model, pre_tokenizer, added_tokens } = JSON.parse(files.tokenizer);
    const tokenizer = createTokenizer({
      ...files,
      tokenizer: JSON.stringify({ model, pre_tokenizer, added_tokens }),
      config: undefined,
    });
    expect(tokenizer.encode("ab", true).ids).toEqual([97, 98]);
    expect([tokenizer.eosId, tokenizer.addsBos]).toEqual([undefined, false]);
  });

  it.each([
    ["{", /tokenizer\.json is not JSON/],
    ["[]", /does not hold a JSON object/],
    ["{}", /The tokenizer\.json in \/m cannot be used/],
    ['{"model": {"type": "Riddle"}}', /cannot be used/],
  ])("refuses %s as MODEL_INVALID", (tokenizer, message) => {
    expect(() => createTokenizer({ ...tinyTokenizer("/m"), tokenizer })).toThrow(
      expect.objectContaining({ code: "MODEL_INVALID", message: expect.stringMatching(message) }),
    );
  });
});

describe("readTokenizerFiles", () => {
  it("reads what is there and asks for tokenizer.json where it is not", async () => {
    const directory = await mkdtemp(join(tmpdir(), "coord-tokenizer-"));
    try {
      await expect(readTokenizerFiles(directory)).rejects.toMatchObject({ code: "MODEL_INVALID" });
      const files = { ...tinyTokenizer(directory), chatTemplate: "J" };
      await writeTokenizer(files);
      expect(await readTokenizerFiles(directory)).toEqual(files);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
