import { execFileSync } from "node:child_process";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { createTokenizer, readTokenizerFiles } from "../../../../shared/dataset/tokenizer.ts";
import { openOnnxEngine } from "../../../../worker/engine/onnx/openOnnxEngine.ts";
import { tinyLora } from "../../../support/tinyModel.ts";

const demo = fileURLToPath(new URL("../../../../deploy/demo/", import.meta.url));
const directory = join(demo, "model");

const corpus = (): { text?: string }[] =>
  execFileSync(process.execPath, [join(demo, "corpus", "compose.mjs")], { encoding: "utf8", maxBuffer: 2 ** 24 })
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("the demo's base model", () => {
  it("has the usual files and is small enough for a repository", async () => {
    const names = await readdir(directory);
    expect(names.sort()).toEqual(["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]);
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(directory, name))).size));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(3e6);
  });

  it("has learned its corpus, in both languages, but not by heart", async () => {
    const tokenizer = createTokenizer(await readTokenizerFiles(directory));
    const engine = await openOnnxEngine(directory, tinyLora, 1);
    await engine.setParameters(await engine.initialParameters(1));
    const texts = corpus().flatMap(({ text }) => (text === undefined ? [] : [text]));
    const perByte = async (of: readonly string[]) => {
      let sum = 0;
      let bytes = 0;
      for (const text of of.slice(0, 40)) {
        const inputIds = Int32Array.from(tokenizer.encode(`<|bos|>${text}<|eos|>`, false).ids);
        sum += (await engine.evaluate({ batch: 1, sequence: inputIds.length, inputIds, labels: inputIds })).sum;
        bytes += Buffer.byteLength(text);
      }
      return sum / bytes;
    };
    const chinese = texts.filter((text) => /\p{Script=Han}/u.test(text));
    const english = texts.filter((text) => !/\p{Script=Han}/u.test(text));
    for (const loss of [await perByte(chinese), await perByte(english)]) {
      expect(loss).toBeLessThan(1.6);
      expect(loss).toBeGreaterThan(0.3);
    }
    await engine.dispose();
  });

  it("has the tokenizer that its script learns from the corpus, and that loses no byte", async () => {
    const learned = execFileSync(
      process.execPath,
      [
        "--input-type=module",
        "-e",
        `const { tokenizerFiles } = await import(process.argv[1]); console.log(JSON.stringify(tokenizerFiles()));`,
        join(demo, "tokenizer.mjs"),
      ],
      { encoding: "utf8" },
    );
    const { tokenizerFile, tokenizerConfig } = JSON.parse(learned);
    expect(JSON.parse(await readFile(join(directory, "tokenizer.json"), "utf8"))).toEqual(tokenizerFile);
    expect(JSON.parse(await readFile(join(directory, "tokenizer_config.json"), "utf8"))).toEqual(tokenizerConfig);
    const tokenizer = createTokenizer(await readTokenizerFiles(directory));
    const text = "问：你好，World 12\n\té😀";
    const bytes = tokenizer.encode(text, false).tokens.map((token) => tokenizer.tokenBytes(token)!);
    expect(Buffer.concat(bytes).toString("utf8")).toBe(text);
    expect(tokenizer.largestId).toBe(1023);
  });
});
