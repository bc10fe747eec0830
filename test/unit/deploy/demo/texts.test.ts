import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../../../shared/process/packageRoot.ts";

const demo = join(packageRoot(), "deploy", "demo");
const compose = (part: string) =>
  execFileSync(process.execPath, [join(demo, part, "compose.mjs")], { encoding: "utf8", maxBuffer: 2 ** 24 });
const parseLines = <T>(text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as T);

describe("the demo's rows", () => {
  const text = readFileSync(join(demo, "data.jsonl"), "utf8");
  const rows = parseLines<{ data: string[] }>(text);

  it("are what their script composes, byte for byte", () => {
    expect(compose("data")).toBe(text);
  });

  it("are a few hundred, no two of them alike, in HuatuoGPT format with both colons", () => {
    expect(rows.length).toBeGreaterThanOrEqual(300);
    expect(new Set(rows.map(({ data }) => data.join("\n").replaceAll(":", "："))).size).toBe(rows.length);
    for (const { data } of rows) {
      expect(data.length % 2).toBe(0);
      for (const [index, turn] of data.entries()) expect(turn).toMatch(index % 2 === 0 ? /^问[：:]./ : /^答[：:]./);
    }
    const ascii = rows.filter(({ data }) => data[0]![1] === ":").length;
    expect(ascii).toBeGreaterThan(0);
    expect(ascii).toBeLessThan(rows.length / 2);
  });

  it("have single and multiple turns of moderate length", () => {
    const lengths = rows.map(({ data }) => [...data.join("")].length);
    expect(Math.min(...lengths)).toBeGreaterThanOrEqual(60);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(300);
    expect(new Set(rows.map(({ data }) => data.length))).toEqual(new Set([2, 4]));
  });

  it("have no slot or alternative left unfilled", () => {
    expect(rows.map(({ data }) => data.join("")).join("")).not.toMatch(/[{}[\]|]/);
  });
});

describe("the base model's corpus", () => {
  type Document = { text: string } | { messages: { role: string; content: string }[] };
  let documents: Document[] = [];
  let text = "";
  const words = (document: Document) =>
    "text" in document ? document.text : document.messages.map(({ content }) => content).join("\n");
  beforeAll(() => {
    text = compose("corpus");
    documents = parseLines<Document>(text);
  });

  it("is the same each time", () => {
    expect(compose("corpus")).toBe(text);
  });

  it("has 120 to 200 kB of English and Chinese in fair shares, without repetition", () => {
    const size = (some: Document[]) => some.reduce((sum, document) => sum + Buffer.byteLength(words(document)), 0);
    const chinese = documents.filter((document) => /\p{Script=Han}/u.test(words(document)));
    expect(size(documents)).toBeGreaterThan(120_000);
    expect(size(documents)).toBeLessThan(200_000);
    expect(size(chinese) / size(documents)).toBeGreaterThan(0.35);
    expect(size(chinese) / size(documents)).toBeLessThan(0.65);
    expect(new Set(documents.map(words)).size).toBe(documents.length);
  });

  it("has dialogues in which user and assistant take turns", () => {
    const dialogues = documents.flatMap((document) => ("messages" in document ? [document.messages] : []));
    expect(dialogues.length).toBeGreaterThan(100);
    for (const turns of dialogues) {
      expect(turns.map(({ role }) => role)).toEqual(turns.map((_, index) => (index % 2 === 0 ? "user" : "assistant")));
      expect(turns.length % 2).toBe(0);
    }
  });

  it("has no slot or alternative left unfilled", () => {
    expect(documents.map(words).join("")).not.toMatch(/[{}[\]|]/);
  });

  it("shares no sentence with the rows, so that a fine-tune has something to learn", () => {
    const sentences = (all: string) => all.split(/[。？！?!\n]/).filter((sentence) => sentence.length >= 8);
    const known = new Set(sentences(documents.map(words).join("\n")));
    const rows = parseLines<{ data: string[] }>(readFileSync(join(demo, "data.jsonl"), "utf8"));
    const taught = sentences(rows.map(({ data }) => data.map((turn) => turn.slice(2)).join("\n")).join("\n"));
    expect(taught.filter((sentence) => known.has(sentence))).toEqual([]);
  });
});
