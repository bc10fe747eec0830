import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runCli } from "../../../../../coordinator/cli/runCli.ts";
import type { Inspection } from "../../../../../coordinator/dataset/inspect/inspectDataSet.ts";
import { prepareDataset } from "../../../../../coordinator/dataset/prepareDataset.ts";
import { runConfigSchema } from "../../../../../shared/config/schema.ts";
import { tinyTokenizer, writeTokenizer } from "../../../../support/tinyTokenizer.ts";

let directory: string;
let model: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-data-"));
  model = join(directory, "model");
  await writeTokenizer(tinyTokenizer(model));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function coord(argv: readonly string[], { isTTY = false, environment = {} } = {}): Promise<string> {
  let written = "";
  const stdout = { isTTY, columns: 100, write: (text: string) => (written += text) };
  const code = await runCli(["data", ...argv], {
    environment,
    workingDirectory: directory,
    stdout: stdout as unknown as NodeJS.WriteStream,
    onSignal: () => () => {},
  });
  expect(code).toBe(0);
  return written;
}

const dialogue = (question: string, answer: string) => ({ data: [`问：${question}`, `答：${answer}`] });
const rows = [
  dialogue("q1", "a1"),
  dialogue("q1", "a1"),
  { instruction: "q2", output: "a2" },
  dialogue("q3", " "),
  dialogue("q4", "a".repeat(100)),
  dialogue("q".repeat(200), "a5"),
  { question: "?" },
];

async function save(name: string, values: readonly unknown[]): Promise<string> {
  await writeFile(join(directory, name), values.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return name;
}

describe("coord data inspect", () => {
  it("counts formats, lengths, what is cut and dropped, duplicates, empty answers and rows that would fail", async () => {
    const path = await save("a.jsonl", rows);
    const found = JSON.parse(
      await coord(["inspect", path, "--model", model, "--max-length", "60", "--json"]),
    ) as Inspection;
    expect(found).toMatchObject({
      files: [{ path: join(directory, "a.jsonl"), kind: "json" }],
      rows: 7,
      formats: { huatuo: 5, alpaca: 1 },
      badRows: 1,
      problems: [expect.stringMatching(/a\.jsonl, line 7: the row has the keys "question", which fit none/)],
      duplicates: 1,
      emptyAnswers: 1,
      unlabelled: 1,
      cut: 1,
      samples: 4,
      truncated: 1,
      maxLength: 60,
    });
    expect(found.lengths.longest).toBeGreaterThan(200);
    expect(found.lengths.histogram.find(({ to }) => to === 60)).toBeDefined();
    expect(found.examples).toHaveLength(3);
    expect(found.examples[0]!.pieces).toEqual([
      { text: "<s><|im_start|>user\nq1<|im_end|>\n<|im_start|>assistant\n", learned: false },
      { text: "a1<|im_end|>", learned: true },
      { text: "\n", learned: false },
    ]);
  });

  it("says what data preparation then does, and how large the cache becomes", async () => {
    const path = await save("a.jsonl", rows.slice(0, 6));
    const found = JSON.parse(await coord(["inspect", path, "--model", model, "--json"])) as Inspection;
    const prepared = await prepareDataset({
      config: runConfigSchema.parse({}),
      modelDirectory: model,
      data: [join(directory, path)],
      cacheDirectory: join(directory, "cache"),
      signal: new AbortController().signal,
      onProgress: () => {},
    });
    const { summary } = prepared;
    const { formats, labelTokens, rows: read, samples, tokens, truncated, unlabelled } = found;
    expect({ formats, read, samples, tokens, labelTokens, truncated, unlabelled }).toEqual({
      formats: summary.formats,
      read: summary.rows,
      samples: summary.trainSize,
      tokens: summary.trainTokens,
      labelTokens: summary.trainLabels,
      truncated: summary.truncated,
      unlabelled: summary.unlabelled,
    });
    const { size } = await stat(prepared.path);
    expect(Math.abs(found.cache.bytes - size)).toBeLessThan(200);
  });

  it("marks the learned part by colour on a terminal, and by brackets without it", async () => {
    const path = await save("a.jsonl", rows);
    const argv = ["inspect", path, "--model", model];
    const plain = await coord(argv);
    expect(plain).toContain("q1<|im_end|>\n<|im_start|>assistant\n⟦a1<|im_end|>⟧");
    expect(plain).toMatch(/rows +7\n/);
    expect(plain).toMatch(/1 rows would fail \(--skip-bad-rows skips them\):\n.*line 7: /);
    expect(plain).not.toContain("\u001b");
    expect(await coord(argv, { isTTY: true })).toContain("\u001b[32ma1<|im_end|>\u001b[39m");
    expect(await coord(argv, { isTTY: true, environment: { NO_COLOR: "1" } })).not.toContain("\u001b");
  });

  it("lets no control character of the data reach the terminal", async () => {
    const path = await save("a.jsonl", [dialogue("q\u001b[31m\u202e", "a")]);
    expect(await coord(["inspect", path, "--model", model])).toContain("q\ufffd[31m\ufffd");
  });

  it("writes nothing", async () => {
    const path = await save("a.jsonl", rows);
    await coord(["inspect", path, "--model", model]);
    expect((await readdir(directory)).sort()).toEqual(["a.jsonl", "model"]);
  });

  it("goes without a model: the built-in one's tokenizer is used", async () => {
    expect(await coord(["inspect", await save("a.jsonl", rows)])).toContain("alpaca 1");
  });
});

describe("coord data convert", () => {
  const read = (name: string) => readFile(join(directory, name), "utf8");

  it("writes lines, or an array where the name ends in .json", async () => {
    const path = await save("a.jsonl", [dialogue("q", "a"), { instruction: "i", output: "o" }]);
    expect(await coord(["convert", path, "--to", "sharegpt", "--output", "b.jsonl"])).toBe(
      `Wrote 2 rows to ${join(directory, "b.jsonl")}.\n`,
    );
    expect(await read("b.jsonl")).toBe(
      '{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}\n' +
        '{"conversations":[{"from":"human","value":"i"},{"from":"gpt","value":"o"}]}\n',
    );
    await coord(["convert", "b.jsonl", "--to", "huatuo", "--output", "c.json"]);
    expect(JSON.parse(await read("c.json"))).toEqual([dialogue("q", "a"), dialogue("i", "o")]);
  });

  it("refuses a row that the format cannot hold and leaves nothing, or skips and counts it", async () => {
    const path = await save("a.jsonl", [dialogue("q", "a"), { text: "t" }]);
    const argv = ["convert", path, "--to", "alpaca", "--output", "b.jsonl"];
    await expect(coord(argv)).rejects.toThrow(/a\.jsonl, line 2: the row is plain text, which alpaca cannot hold/);
    expect((await readdir(directory)).sort()).toEqual(["a.jsonl", "model"]);
    const done = JSON.parse(await coord([...argv, "--skip-bad-rows", "--json"]));
    expect(done).toMatchObject({ rows: 1, skipped: 1, firstProblem: expect.stringMatching(/line 2/) });
  });

  it.each([
    [["convert", "a.jsonl", "--to", "xml", "--output", "b"], /needs --to with one of huatuo, sharegpt/],
    [["convert", "a.jsonl", "--to", "alpaca"], /needs --output FILE/],
    [["convert", "a.jsonl", "--to", "alpaca", "--output", "a.jsonl"], /a\.jsonl is there already/],
    [["convert", "no.jsonl", "--to", "alpaca", "--output", "b.jsonl"], /no\.jsonl does not exist/],
    [["show", "a.jsonl"], /knows inspect and convert, not "show"/],
    [["inspect"], /needs at least one file|The command is/],
  ])("refuses %j", async (argv, message) => {
    const path = await save("a.jsonl", [dialogue("q", "a")]);
    const before = await read(path);
    await expect(coord(argv)).rejects.toThrow(message);
    expect(await read(path)).toBe(before);
    expect(existsSync(join(directory, "b.jsonl"))).toBe(false);
  });
});
