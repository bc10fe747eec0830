import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { identifyFile } from "../../../../../coordinator/dataset/reading/identifyFile.ts";
import { readDataSet } from "../../../../../coordinator/dataset/reading/readDataSet.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-reading-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function read(content: string | Buffer, name = "a.json") {
  const path = join(directory, name);
  await writeFile(path, content);
  const rows: [line: number, row: unknown][] = [];
  const { signal } = new AbortController();
  for await (const found of readDataSet(await identifyFile(path, signal), signal)) {
    if ("problem" in found) throw found.problem;
    rows.push([found.line, found.row]);
  }
  return rows;
}

const bom = Buffer.of(0xef, 0xbb, 0xbf);

describe("readDataSet", () => {
  it("reads JSON Lines, with blank lines, Windows line ends, a byte-order mark, and no newline at the end", async () => {
    const content = Buffer.concat([bom, Buffer.from('{"a":1}\r\n\r\n  {"a":"é"}\n{"a":3}')]);
    expect(await read(content, "a.jsonl")).toEqual([
      [1, { a: 1 }],
      [3, { a: "é" }],
      [4, { a: 3 }],
    ]);
  });

  it("reads a JSON array, however it is laid out, and says on which line each row begins", async () => {
    const rows = [{ a: "]},[{\\" }, { b: [1, { c: '"' }] }, {}];
    expect(await read(Buffer.concat([bom, Buffer.from(`\n ${JSON.stringify(rows)} \n`)]))).toEqual(
      rows.map((row) => [2, row]),
    );
    expect(await read(JSON.stringify(rows, null, 2))).toEqual([
      [2, rows[0]],
      [5, rows[1]],
      [13, rows[2]],
    ]);
  });

  it("goes by the content, not by the name", async () => {
    expect(await read('[{"a":1},{"a":2}]', "a.jsonl")).toHaveLength(2);
    expect(await read('{"a":1}\n{"a":2}', "a.json")).toHaveLength(2);
  });

  it("reads any rows alike from lines, from a compact and from an indented array", async () => {
    const row = fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue());
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 8 }), async (generated) => {
        const rows = JSON.parse(JSON.stringify(generated)) as unknown[];
        const texts = [
          rows.map((one) => JSON.stringify(one)).join("\n"),
          JSON.stringify(rows),
          JSON.stringify(rows, null, "\t"),
        ];
        for (const text of texts) expect((await read(text)).map(([, one]) => one)).toEqual(rows);
      }),
      { numRuns: 60 },
    );
  });

  it("reads rows that are cut anywhere by the chunks of the file", async () => {
    // Rows of 1 MiB minus a few bytes shift the cut through escapes, multi-byte characters and brackets.
    const rows = Array.from({ length: 5 }, (_, index) => ({ text: `${"x".repeat(2 ** 20 - 9 - index)}\\"问]}` }));
    expect((await read(rows.map((row) => JSON.stringify(row)).join("\n"))).map(([, row]) => row)).toEqual(rows);
    expect((await read(JSON.stringify(rows))).map(([, row]) => row)).toEqual(rows);
  });

  it("reads a text file as one row per paragraph", async () => {
    expect(await read("\n\na\nb\n \t\n\nc\r\nd\r\n", "a.txt")).toEqual([
      [3, { text: "a\nb" }],
      [7, { text: "c\nd" }],
    ]);
    expect(await read("\n \n", "a.TXT")).toEqual([]);
  });

  it("keeps a key named __proto__ as data", async () => {
    const [[, row]] = (await read('{"__proto__": {"text": "x"}}')) as [[number, object]];
    expect(Object.keys(row)).toEqual(["__proto__"]);
    expect("text" in row).toBe(false);
  });

  it.each([
    ["bad JSON in a line", '{"a":1}\n{"a":}\n', /a\.json, line 2: bad JSON \(/],
    ["bad JSON inside an array", '[\n{"a":1},\n{"a":\n 2 3}\n]', /a\.json, line 4: bad JSON \(/],
    ["a row that is a number", "1\n", /line 1: the row is a number, not an object/],
    ["a row that is an array", '{"a":1}\n[1]\n', /line 2: the row is an array, not an object/],
    ["a row that is null", '[{"a":1},\n null]', /line 2: the row is null, not an object/],
    ["an array that is cut short", '[{"a":1},\n{"a":2}', /line 2: the file ends inside the JSON array/],
    ["an array that is cut inside a string", '[{"a":"b', /the file ends inside the JSON array/],
    ["a comma too many", '[{"a":1},\n]', /line 2: a comma has no row beside it/],
    ["a comma at the start", '[,{"a":1}]', /line 1: a comma has no row beside it/],
    ["two commas", '[{"a":1},,{"a":2}]', /a comma has no row beside it/],
    ["text after the array", '[{"a":1}]\n{"a":2}', /line 2: there is more after the end of the JSON array/],
    ["brackets that do not match", '[{"a":[1}]}]', /line 1: a bracket is closed that was not opened/],
    ["brackets of two kinds that close each other", '[{"a":[1}}]', /line 1: bad JSON/],
  ])("names the line of %s", async (_, content, message) => {
    await expect(read(content)).rejects.toMatchObject({
      code: "DATA_INVALID",
      message: expect.stringMatching(message),
    });
  });

  it.each(["a.jsonl", "a.txt"])("names line and byte where %s is not UTF-8", async (name) => {
    const content = Buffer.concat([Buffer.from('{"a":"é"}\n{"a":"'), Buffer.of(0xce, 0xca), Buffer.from('"}\n')]);
    await expect(read(content, name)).rejects.toThrow(/line 2: byte 0xce is not UTF-8; save the file as UTF-8/);
  });

  it("names the line inside a row of several lines", async () => {
    const content = Buffer.concat([Buffer.from('[{"a":\n1,\n"b":"'), Buffer.of(0xff), Buffer.from('"}]')]);
    await expect(read(content)).rejects.toThrow(/a\.json, line 3: byte 0xff is not UTF-8/);
  });

  it("refuses binary files as text", async () => {
    await expect(read("a\0b", "a.txt")).rejects.toThrow(/line 1: a zero byte; this is not a text file/);
  });

  it("stops when aborted, with the signal's reason", async () => {
    const path = join(directory, "a.jsonl");
    await writeFile(path, '{"a":1}\n'.repeat(400_000));
    const controller = new AbortController();
    const reason = new Error("enough");
    const file = await identifyFile(path, controller.signal);
    const reading = (async () => {
      for await (const { line } of readDataSet(file, controller.signal)) if (line === 3) controller.abort(reason);
    })();
    await expect(reading).rejects.toBe(reason);
  });
});
