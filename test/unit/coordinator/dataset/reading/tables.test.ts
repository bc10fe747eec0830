import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { identifyFile } from "../../../../../coordinator/dataset/reading/identifyFile.ts";
import { placeOf, readDataSet } from "../../../../../coordinator/dataset/reading/readDataSet.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-tables-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function read(name: string, content: string | Uint8Array) {
  const path = join(directory, name);
  await writeFile(path, content);
  const { signal } = new AbortController();
  const file = await identifyFile(path, signal);
  const rows: [string, unknown][] = [];
  for await (const found of readDataSet(file, signal)) {
    const place = placeOf(file, found.line).slice(path.length + 2);
    rows.push([place, "problem" in found ? found.problem.message.slice(path.length) : found.row]);
  }
  return rows;
}

const parquet = (columns: Record<string, unknown[]>, codec: "SNAPPY" | "UNCOMPRESSED" = "SNAPPY") =>
  new Uint8Array(
    parquetWriteBuffer({ columnData: Object.entries(columns).map(([name, data]) => ({ name, data })), codec }),
  );

describe("CSV", () => {
  it("is read with quotes, line breaks in cells, a byte-order mark and Windows line ends", async () => {
    const content = '\uFEFFinstruction,output\r\n"a, b","say ""x"""\r\n"two\nlines",é\r\n\r\nc,d\r\n';
    expect(await read("a.csv", content)).toEqual([
      ["line 2", { instruction: "a, b", output: 'say "x"' }],
      ["line 3", { instruction: "two\nlines", output: "é" }],
      ["line 6", { instruction: "c", output: "d" }],
    ]);
  });

  it("reads JSON in the columns that hold a list, and only there", async () => {
    const cell = '"[{""from"": ""human"", ""value"": ""q""}]"';
    expect(await read("a.csv", `conversations,text\n${cell},${cell}\n[bad,x\n`)).toEqual([
      ["line 2", { conversations: [{ from: "human", value: "q" }], text: '[{"from": "human", "value": "q"}]' }],
      ["line 3", { conversations: "[bad", text: "x" }],
    ]);
  });

  it("is separated by tabs in a .tsv file, where quotes mean nothing", async () => {
    expect(await read("a.tsv", 'text\tid\nsay "x"\t1\n')).toEqual([["line 2", { text: 'say "x"', id: "1" }]]);
  });

  it("gives rows of another width and wrong bytes as rows that cannot be read", async () => {
    const content = Buffer.concat([Buffer.from("text,id\na,1\nb\nc,"), Buffer.of(0xff), Buffer.from("\nd,4\n")]);
    expect(await read("a.csv", content)).toEqual([
      ["line 2", { text: "a", id: "1" }],
      ["line 3", ", line 3: the row has 1 cells, the first line names 2 columns; is a quote missing?"],
      ["line 4", expect.stringMatching(/^, line 4: byte 0xff is not UTF-8/)],
      ["line 5", { text: "d", id: "4" }],
    ]);
  });

  it.each([
    ["a quote that is never closed", 'text\na\n"b\nc\n', /a quote is opened and never closed; is the file cut short/],
    ["a quote followed by text", 'text\n"a"b\n', /line 2: a closing quote is followed by other text/],
    ["a column that is there twice", "text,text\na,b\n", /line 1: the column "text" is there twice/],
  ])("is refused with %s", async (_, content, message) => {
    await expect(read("a.csv", content)).rejects.toMatchObject({
      code: "DATA_INVALID",
      message: expect.stringMatching(message),
    });
  });

  it("is JSON when it looks like JSON", async () => {
    expect(await read("a.csv", '{"text":"a"}\n')).toEqual([["line 1", { text: "a" }]]);
  });
});

describe("Parquet", () => {
  const turns = [
    { from: "human", value: "问" },
    { from: "gpt", value: "答" },
  ];

  it.each(["SNAPPY", "UNCOMPRESSED"] as const)("is read with lists of objects, compressed by %s", async (codec) => {
    expect(await read("a.parquet", parquet({ conversations: [turns, turns], id: [1, 2] }, codec))).toEqual([
      ["row 1", { conversations: turns, id: 1 }],
      ["row 2", { conversations: turns, id: 2 }],
    ]);
  });

  it("is found under any name, and leaves out what is null", async () => {
    expect(await read("a.jsonl", parquet({ text: ["a", null], data: [null, "b"] }))).toEqual([
      ["row 1", { text: "a" }],
      ["row 2", { data: "b" }],
    ]);
  });

  it("is read in order across many rows", async () => {
    const rows = await read("a.parquet", parquet({ text: Array.from({ length: 2500 }, (_, index) => `row ${index}`) }));
    expect(rows).toEqual(Array.from({ length: 2500 }, (_, index) => [`row ${index + 1}`, { text: `row ${index}` }]));
  });

  it("is refused when it is cut short or something else", async () => {
    const whole = parquet({ text: ["a"] });
    const message = /this is not a Parquet file that can be read/;
    await expect(read("a.parquet", whole.subarray(0, whole.length - 9))).rejects.toThrow(message);
    await expect(read("b.parquet", "hello")).rejects.toThrow(message);
  });
});

describe("gzip", () => {
  it("is undone for every kind of text, by content rather than name", async () => {
    expect(await read("a.jsonl.gz", gzipSync('{"text":"a"}\n'))).toEqual([["line 1", { text: "a" }]]);
    expect(await read("a.json", gzipSync('[{"text":"a"}]'))).toEqual([["line 1", { text: "a" }]]);
    expect(await read("a.csv.gz", gzipSync("text\na\n"))).toEqual([["line 2", { text: "a" }]]);
    expect(await read("a.txt.gz", gzipSync("a\n\nb\n"))).toHaveLength(2);
  });

  it("that is cut short is refused", async () => {
    const whole = gzipSync(`{"text":"${"abcdefgh".repeat(1000)}"}\n`);
    await expect(read("a.jsonl.gz", whole.subarray(0, 30))).rejects.toMatchObject({
      code: "DATA_INVALID",
      message: expect.stringMatching(/a\.jsonl\.gz cannot be read: .*unexpected end of file/),
    });
  });
});
