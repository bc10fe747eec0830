import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileChatTemplate, findChatTemplate } from "../../shared/dataset/chatTemplate.ts";
import type { Message } from "../../shared/dataset/conversation.ts";
import { encodeSample } from "../../shared/dataset/encodeSample.ts";
import { readRow } from "../../shared/dataset/formats/readRow.ts";
import { namedTemplates } from "../../shared/dataset/templates/namedTemplates.ts";
import { createTokenizer, readTokenizerFiles } from "../../shared/dataset/tokenizer.ts";

/** Python with `transformers` (and with it `tokenizers` and `jinja2`): pip install transformers jinja2. */
const python = process.env["COORD_PYTHON"] ?? "python3";
const available = (() => {
  try {
    execFileSync(python, ["-c", "import transformers, jinja2"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

/** The medical dialogues take part where they are. */
const sharedData = process.env["COORD_SHARED_DATA"] ?? "../shared/data";
const medicalFiles = ["medical_huatuo_1k.jsonl", "medical_sharegpt_1k.jsonl"];

const demoModel = "deploy/demo/model";

/** Digests of ids and mask, by template and tokenizer, of each conversation. */
interface Cross {
  readonly conversations: readonly (readonly Message[])[];
  readonly digests: readonly (readonly [template: string, tokenizer: string, readonly (readonly [string, string])[]])[];
}

function digestOf(numbers: ArrayLike<number>): string {
  return createHash("sha256").update(Array.from(numbers).join(",")).digest("hex");
}

interface Expected {
  readonly text: string;
  readonly ids: readonly number[];
  readonly mask: readonly number[];
  readonly plain: readonly number[];
}

/** Numbers of thousands of dialogues: compared without the library, which takes its time, unless they differ. */
function expectSame(actual: ArrayLike<number>, expected: readonly number[], what: string): void {
  const same = actual.length === expected.length && expected.every((value, index) => value === actual[index]);
  if (!same) expect(Array.from(actual), what).toEqual(expected);
}

describe.skipIf(!available)(`Python's transformers (skipped where ${python} has none)`, () => {
  let directory: string;
  let conversations: readonly (readonly Message[])[];
  let expected: Readonly<Record<string, readonly Expected[]>>;
  let some: typeof conversations;
  /** By template, then by tokenizer. */
  let expectedNamed: Readonly<Record<string, Readonly<Record<string, readonly Omit<Expected, "plain">[]>>>>;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "coord-tokens-"));
    await writeFile(join(directory, "named.json"), JSON.stringify(Object.fromEntries(namedTemplates)));
    const medical = existsSync(sharedData) ? medicalFiles.map((name) => join(sharedData, name)) : [];
    const wanted = [demoModel, "deploy/demo/data.jsonl", directory, ...medical];
    execFileSync(python, ["test/interop/tokens_reference.py", ...wanted], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, HF_HUB_OFFLINE: "1" },
    });
    const read = async (name: string) => JSON.parse(await readFile(join(directory, name), "utf8"));
    [conversations, expected] = [await read("conversations.json"), await read("expected.json")];
    [some, expectedNamed] = [await read("some.json"), await read("expected_named.json")];
  }, 600_000);
  afterAll(() => rm(directory, { recursive: true }));

  it.each(["demo", "qwen", "llama3", "llama2", "mistral", "unigram"])(
    "renders, tokenizes and masks every dialogue alike with a tokenizer of the kind %s",
    async (name) => {
      const files = await readTokenizerFiles(name === "demo" ? demoModel : join(directory, name));
      const tokenizer = createTokenizer(files);
      const render = compileChatTemplate(findChatTemplate("auto", files, tokenizer)!, tokenizer);
      const options = { tokenizer, render, templateOrigin: name, maxLength: 1e6, trainOnInputs: false };
      expect(conversations.length).toBeGreaterThan(existsSync(sharedData) ? 2400 : 400);
      for (const [index, messages] of conversations.entries()) {
        const { text, ids, mask, plain } = expected[name]![index]!;
        expect(render(messages, false)).toBe(text);
        const sample = encodeSample({ messages }, options, `dialogue ${index}`);
        if (typeof sample === "string") throw new Error(`dialogue ${index} was dropped: ${sample}`);
        expectSame(sample.ids, ids, `ids of dialogue ${index}`);
        expectSame(sample.mask, mask, `mask of dialogue ${index}`);
        expectSame(tokenizer.encode(messages.at(-1)!.content, true).ids, plain, `plain text ${index}`);
      }
    },
  );

  it.each([...namedTemplates.keys()])(
    "renders, tokenizes and masks alike by the template %s, as published where it is, with every tokenizer",
    async (template) => {
      for (const [name, all] of Object.entries(expectedNamed[template]!)) {
        const files = await readTokenizerFiles(name === "demo" ? demoModel : join(directory, name));
        const tokenizer = createTokenizer(files);
        const render = compileChatTemplate(findChatTemplate(template, files, tokenizer)!, tokenizer);
        const options = { tokenizer, render, templateOrigin: template, maxLength: 1e6, trainOnInputs: false };
        for (const [index, messages] of some.entries()) {
          const place = `${name}, dialogue ${index}`;
          const sample = encodeSample({ messages }, options, place);
          if (typeof sample === "string") throw new Error(`${place} was dropped: ${sample}`);
          expect(render(messages, false), place).toBe(all[index]!.text);
          expectSame(sample.ids, all[index]!.ids, `ids of ${place}`);
          // An unknown token swallows characters on both sides of a border, and only Python knows how many.
          const unknown = tokenizer.specialTokens["unk_token"] === "<unk>" && sample.ids.includes(0);
          if (!unknown) expectSame(sample.mask, all[index]!.mask, `mask of ${place}`);
        }
      }
    },
  );

  it.skipIf(!process.env["COORD_FULL_CROSS"])(
    "gives the same tokens and mask for every medical dialogue by every named template with every tokenizer (takes minutes: COORD_FULL_CROSS=1)",
    { timeout: 900_000 },
    async () => {
      const cross: Cross = JSON.parse(await readFile(join(directory, "cross.json"), "utf8"));
      expect(cross.conversations.length).toBeGreaterThan(900);
      expect(cross.digests).toHaveLength(namedTemplates.size * 6);
      let compared = 0;
      for (const [template, name, digests] of cross.digests) {
        const files = await readTokenizerFiles(name === "demo" ? demoModel : join(directory, name));
        const tokenizer = createTokenizer(files);
        const render = compileChatTemplate(findChatTemplate(template, files, tokenizer)!, tokenizer);
        const options = { tokenizer, render, templateOrigin: template, maxLength: 1e6, trainOnInputs: false };
        for (const [index, messages] of cross.conversations.entries()) {
          const place = `${template}, ${name}, dialogue ${index}`;
          const sample = encodeSample({ messages }, options, place);
          if (typeof sample === "string") throw new Error(`${place} was dropped: ${sample}`);
          expect(digestOf(sample.ids), `ids of ${place}`).toBe(digests[index]![0]);
          const unknown = tokenizer.specialTokens["unk_token"] === "<unk>" && sample.ids.includes(0);
          if (!unknown) expect(digestOf(sample.mask), `mask of ${place}`).toBe(digests[index]![1]);
          compared++;
        }
      }
      console.info(`compared ${compared} samples`);
    },
  );

  it.each(["qwen", "llama3"])(
    "renders, tokenizes and masks OpenAI rows with tools and calls of them alike by a template like that of %s",
    async (name) => {
      const [tools, expectedTools] = await Promise.all(
        ["tools.json", "expected_tools.json"].map(async (one) =>
          JSON.parse(await readFile(join(directory, one), "utf8")),
        ),
      );
      const files = await readTokenizerFiles(join(directory, name));
      const tokenizer = createTokenizer(files);
      const source = { origin: name, text: tools.templates[name] as string, named: false };
      const render = compileChatTemplate(source, tokenizer);
      const options = { tokenizer, render, templateOrigin: name, maxLength: 1e6, trainOnInputs: false };
      for (const [index, row] of tools.rows.entries()) {
        const { conversation } = readRow(row, "auto", `row ${index}`);
        if ("text" in conversation) throw new Error("tools.json has dialogues only");
        expect(render(conversation.messages, false, conversation.tools)).toBe(expectedTools[name][index].text);
        const sample = encodeSample(conversation, options, `row ${index}`);
        if (typeof sample === "string") throw new Error(`row ${index} was dropped: ${sample}`);
        expect([...sample.ids], `ids of row ${index}`).toEqual(expectedTools[name][index].ids);
        expect([...sample.mask], `mask of row ${index}`).toEqual(expectedTools[name][index].mask);
      }
    },
  );
});
