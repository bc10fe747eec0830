import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { prepareDataset } from "../../coordinator/dataset/prepareDataset.ts";
import { runConfigSchema } from "../../shared/config/schema.ts";
import { CoordError } from "../../shared/errors.ts";
import { tinyTokenizer, writeTokenizer } from "../support/tinyTokenizer.ts";

let directory: string;
let modelDirectory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-malformed-"));
  modelDirectory = join(directory, "model");
  await writeTokenizer(tinyTokenizer(modelDirectory));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function prepare(name: string, content: string | Uint8Array, skipBadRows: boolean) {
  const path = join(directory, name);
  await writeFile(path, content);
  const { summary } = await prepareDataset({
    config: { ...runConfigSchema.parse({}), skipBadRows },
    modelDirectory,
    data: [path],
    cacheDirectory: join(directory, "cache"),
    signal: new AbortController().signal,
    onProgress: () => {},
  });
  // No row is lost without being counted.
  expect(summary.rows).toBe(summary.trainSize + summary.dropped + summary.badRows);
  expect(summary.problems).toHaveLength(Math.min(summary.badRows, 3));
  return summary;
}

const good = '{"text": "good"}\n';
const bytes = (...parts: (string | number)[]) =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.of(part))));
const deep = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
const parquet = (columns: Record<string, unknown[]>) =>
  new Uint8Array(parquetWriteBuffer({ columnData: Object.entries(columns).map(([name, data]) => ({ name, data })) }));

/** File name, content, and what is said of it: with the place, or for the file as a whole. */
type Case = readonly [title: string, name: string, content: string | Uint8Array, message: RegExp];

/** One good row before and one behind, so that skipping leaves two. */
const skippable: readonly Case[] = [
  ["bad UTF-8", "a.jsonl", bytes(good, '{"text": "', 0xff, '"}\n', good), /line 2: byte 0xff is not UTF-8/],
  ["GB18030 text", "a.jsonl", bytes(good, '{"text": "', 0xce, 0xca, '"}\n', good), /line 2: byte 0xce is not UTF-8/],
  ["half a character", "a.jsonl", bytes(good, '{"text": "', 0xe9, 0x97, '"}\n', good), /line 2: byte 0xe9/],
  ["bad UTF-8 in a text file", "a.txt", bytes("a\n\nb\n", 0xff, "\n\nc\n"), /line 4: byte 0xff is not UTF-8/],
  ["a zero byte in a text file", "a.txt", "a\n\nb\0\n\nc\n", /line 3: a zero byte/],
  ["bad JSON", "a.jsonl", `${good}{"text": }\n${good}`, /line 2: bad JSON \(/],
  ["a line that is cut short", "a.jsonl", `${good}{"text": "b\n${good}`, /line 2: bad JSON \(/],
  ["single quotes", "a.jsonl", `${good}{'text': 'b'}\n${good}`, /line 2: bad JSON \(/],
  ["a trailing comma", "a.jsonl", `${good}{"text": "b"},\n${good}`, /line 2: bad JSON \(/],
  ["two objects on a line", "a.jsonl", `${good}${good.trim()}${good}${good}`, /line 2: bad JSON \(/],
  ["NaN", "a.jsonl", `${good}{"text": NaN}\n${good}`, /line 2: bad JSON \(/],
  ["a control character in a string", "a.jsonl", `${good}{"text": "a\u0001"}\n${good}`, /line 2: bad JSON \(/],
  ["bad JSON in an array", "a.json", `[${good},{"text": },${good}]`, /line 2: bad JSON \(/],
  ["a number for a row", "a.jsonl", `${good}3\n${good}`, /line 2: the row is a number, not an object/],
  ["null for a row", "a.json", `[${good},null,${good}]`, /line 2: the row is null/],
  ["an array for a row", "a.jsonl", `${good}["a"]\n${good}`, /line 2: the row is an array/],
  ["text for a row", "a.jsonl", `${good}"a"\n${good}`, /line 2: the row is a string/],
  ["no known key", "a.jsonl", `${good}{"q": 1, "a": 2}\n${good}`, /line 2: the row has the keys "q", "a", which fit/],
  ["an empty object", "a.jsonl", `${good}{}\n${good}`, /line 2: the row has the keys \(none\)/],
  ["a number for text", "a.jsonl", `${good}{"text": 3}\n${good}`, /line 2: the row has a number instead of text/],
  ["null for text", "a.jsonl", `${good}{"text": null}\n${good}`, /line 2: the row has null instead of text/],
  [
    "null for turns",
    "a.jsonl",
    `${good}{"conversations": null}\n${good}`,
    /line 2: the row has null instead of an array/,
  ],
  [
    "a null turn",
    "a.jsonl",
    `${good}{"conversations": [null]}\n${good}`,
    /line 2: the row has null instead of an object/,
  ],
  [
    "a turn without text",
    "a.jsonl",
    `${good}{"messages": [{"role": "user"}]}\n${good}`,
    /line 2: .*nothing instead of text/,
  ],
  ["a number for a speaker", "a.jsonl", `${good}{"messages": [{"role": 1}]}\n${good}`, /line 2: .*a number instead/],
  ["an unknown speaker", "a.jsonl", `${good}{"messages": [{"role": "x"}]}\n${good}`, /line 2: .*unknown speaker "x"/],
  ["a HuatuoGPT turn of nobody", "a.jsonl", `${good}{"data": ["你好"]}\n${good}`, /line 2: .*neither 问： nor 答：/],
  [
    "text for HuatuoGPT turns",
    "a.jsonl",
    `${good}{"data": "问：a"}\n${good}`,
    /line 2: .*a string instead of an array/,
  ],
  [
    "an odd history",
    "a.jsonl",
    `${good}{"instruction":"a","output":"b","history":[["a"]]}\n${good}`,
    /line 2: .*history\[0\]/,
  ],
  [
    "deep nesting for text",
    "a.jsonl",
    `${good}{"text": ${deep(100_000)}}\n${good}`,
    /line 2: .*an array instead of text/,
  ],
  ["a __proto__ key", "a.jsonl", `${good}{"__proto__": {"text": "a"}}\n${good}`, /line 2: .*the keys "__proto__"/],
  [
    "a constructor key",
    "a.jsonl",
    `${good}{"constructor": {"text": "a"}}\n${good}`,
    /line 2: .*the keys "constructor"/,
  ],
  ["a line of 65 MiB", "a.jsonl", `${good}${"x".repeat(65 << 20)}\n${good}`, /line 2: the row is longer than 64 MiB/],
  [
    "an element of 65 MiB",
    "a.json",
    `[${good},"${"x".repeat(65 << 20)}",${good}]`,
    /line 2: the row is longer than 64/,
  ],
  [
    "a compressed line of 100 MiB",
    "a.jsonl.gz",
    gzipSync(Buffer.concat([Buffer.from(good), Buffer.alloc(100 << 20, 32), Buffer.from(`\n${good}`)]), { level: 1 }),
    /line 2: the row is longer than 64/,
  ],
  [
    "a CSV row of another width",
    "a.csv",
    "text,id\na,1\nb\nc,3\n",
    /line 3: the row has 1 cells, the first line names 2/,
  ],
  ["bad UTF-8 in CSV", "a.csv", bytes("text\na\n", 0xff, "\nc\n"), /line 3: byte 0xff is not UTF-8/],
  [
    "a number in Parquet",
    "a.parquet",
    parquet({ text: ["a", null, "b"], id: [1, 2, 3] }),
    /row 2: the row has the keys "id"/,
  ],
];

/** Files of which nothing can be saved. */
const hopeless: readonly Case[] = [
  ["nothing in it", "a.jsonl", "", /is empty \(0 bytes\)/],
  ["a byte-order mark alone", "a.jsonl", "\uFEFF", /has no rows/],
  ["white space alone", "a.jsonl", " \n\t\r\n", /has no rows/],
  ["an empty array", "a.json", "[]", /has no rows/],
  ["a CSV header alone", "a.csv", "text,id\n", /has no rows/],
  ["an array that is cut short", "a.json", `[${good},{"te`, /line 2: the file ends inside the JSON array/],
  [
    "an array that never closes a bracket",
    "a.json",
    `[${good},{"text": ["a"},${good}]`,
    /the file ends inside the JSON array/,
  ],
  ["a comma too many", "a.json", `[${good},]`, /line 2: a comma has no row beside it/],
  ["text behind the array", "a.json", `[${good}] x`, /line 2: there is more after the end/],
  ["deep nesting around everything", "a.json", deep(100_000), /line 1: the row is an array/],
  [
    "gzip that is cut short",
    "a.jsonl.gz",
    gzipSync(good.repeat(9999)).subarray(0, 100),
    /cannot be read: .*unexpected end/,
  ],
  ["gzip with a flipped byte", "a.jsonl.gz", flipped(gzipSync("abcdefghij".repeat(99)), 20), /cannot be read: /],
  ["a picture", "a.jsonl", bytes(0x89, "PNG\r\n", 0x1a, "\n", 0xff, 0xd8), /line 1: byte 0x89 is not UTF-8/],
  ["a zip file named .json", "a.json", bytes("PK", 3, 4, 0xff, 0xfe), /line 1: byte 0xff is not UTF-8/],
  ["UTF-16", "a.jsonl", Buffer.from(`\uFEFF${good}`, "utf16le"), /line 1: byte 0xff is not UTF-8/],
  ["CSV named .jsonl", "a.jsonl", "text,id\na,1\n", /line 1: bad JSON/],
  ["JSON Lines named .parquet", "a.parquet", good, /this is not a Parquet file/],
  [
    "Parquet that is cut short",
    "a.parquet",
    parquet({ text: ["a", "b"] }).subarray(0, 40),
    /this is not a Parquet file/,
  ],
  ["a quote that is never closed", "a.csv", 'text\na\n"b\n', /line \d: a quote is opened and never closed/],
  ["a column that is there twice", "a.csv", "text,text\na,b\n", /line 1: the column "text" is there twice/],
];

function flipped(data: Buffer, at: number): Buffer {
  data[at]! ^= 0x55;
  return data;
}

// Rows beyond the limit are tens of megabytes.
describe("a malformed data set", { timeout: 60_000 }, () => {
  it.each(skippable)(
    "with %s is refused with its place, or the row skipped and counted",
    async (_, name, content, message) => {
      const refusal = await prepare(name, content, false).catch((thrown: unknown) => thrown);
      expect(refusal).toBeInstanceOf(CoordError);
      expect(refusal).toMatchObject({ code: "DATA_INVALID", message: expect.stringMatching(message) });
      expect((refusal as CoordError).message).toContain(join(directory, name));
      expect(await readdir(join(directory, "cache"))).toEqual([]);

      const summary = await prepare(name, content, true);
      expect(summary).toMatchObject({ rows: 3, trainSize: 2, badRows: 1, dropped: 0 });
      expect(summary.problems[0]).toMatch(message);
    },
  );

  it.each(hopeless)("with %s is refused, also when bad rows are to be skipped", async (_, name, content, message) => {
    for (const skipBadRows of [false, true]) {
      const refusal = await prepare(name, content, skipBadRows).catch((thrown: unknown) => thrown);
      expect(refusal).toMatchObject({
        name: "CoordError",
        code: "DATA_INVALID",
        message: expect.stringMatching(message),
      });
      expect((refusal as CoordError).message).toContain(join(directory, name));
    }
  });

  it("keeps the first few reasons and counts all", async () => {
    const summary = await prepare("a.jsonl", `${good}${"{}\n".repeat(10)}`, true);
    expect(summary).toMatchObject({ rows: 11, badRows: 10, formats: { text: 1 } });
    expect(summary.problems[2]).toMatch(/line 4/);
  });
});
