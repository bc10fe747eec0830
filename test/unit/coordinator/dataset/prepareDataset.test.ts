import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type PrepareOptions, prepareDataset } from "../../../../coordinator/dataset/prepareDataset.ts";
import { type RunConfig, runConfigSchema } from "../../../../shared/config/schema.ts";
import { openTokenFile } from "../../../../shared/dataset/tokenFile.ts";
import { tinyTokenizer, writeTokenizer } from "../../../support/tinyTokenizer.ts";

let directory: string;
let modelDirectory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-prepare-"));
  modelDirectory = join(directory, "model");
  await writeTokenizer(tinyTokenizer(modelDirectory));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const huatuoRow = (index: number) => ({ data: [`问：question ${index}`, `答:answer ${index}`] });
const sharegptRow = (index: number) => ({
  conversations: [
    { from: "human", value: `question ${index}` },
    { from: "gpt", value: `answer ${index}` },
  ],
});
const rows = (count: number, row: (index: number) => unknown) =>
  Array.from({ length: count }, (_, index) => row(index));

async function save(name: string, content: string | readonly unknown[]): Promise<string> {
  const path = join(directory, name);
  const text = typeof content === "string" ? content : content.map((row) => `${JSON.stringify(row)}\n`).join("");
  await writeFile(path, text);
  return path;
}

function prepare(
  data: string | readonly string[],
  config: Partial<RunConfig> = {},
  more: Partial<PrepareOptions> = {},
) {
  return prepareDataset({
    config: { ...runConfigSchema.parse({}), ...config },
    modelDirectory,
    data: typeof data === "string" ? [data] : data,
    cacheDirectory: join(directory, "cache"),
    signal: new AbortController().signal,
    onProgress: () => {},
    ...more,
  });
}

/** Files of the cache apart from the reports. */
async function cached() {
  return (await readdir(join(directory, "cache"))).filter((name) => !name.endsWith(".report.json"));
}

async function readAll(path: string, split: "train" | "evaluation") {
  const file = await openTokenFile(path);
  try {
    const size = split === "train" ? file.trainSize : file.evaluationSize;
    const all = await Promise.all(Array.from({ length: size }, (_, index) => file.sample(split, index)));
    return all.map(({ inputIds, labelMask }) => ({ ids: [...inputIds], mask: [...labelMask] }));
  } finally {
    await file.close();
  }
}

describe("prepareDataset", () => {
  it("gives the same bytes for the same dialogues in HuatuoGPT and ShareGPT form, as lines and as an array", async () => {
    const paths = [
      await save("a.jsonl", rows(200, huatuoRow)),
      await save("b.jsonl", rows(200, sharegptRow)),
      await save("c.json", `\uFEFF${JSON.stringify(rows(200, sharegptRow), null, 2)}`),
    ];
    const prepared = [];
    for (const path of paths) prepared.push(await prepare(path, { evalSplit: 0.1 }));
    expect(new Set(prepared.map(({ path }) => path)).size).toBe(3);
    expect(new Set(prepared.map(({ contentKey }) => contentKey)).size).toBe(1);
    const [first, ...others] = await Promise.all(prepared.map(({ path }) => readFile(path)));
    for (const other of others) expect(other.equals(first!)).toBe(true);
    expect(prepared[0]!.summary).toMatchObject({ rows: 200, trainSize: 180, evaluationSize: 20, dropped: 0 });
  });

  it("makes the file once and finds it afterwards, also under another name of the data set", async () => {
    const path = await save("a.jsonl", rows(10, huatuoRow));
    const first = await prepare(path);
    expect(first).toMatchObject({ hit: false, reason: expect.stringMatching(/nothing yet/) });
    const second = await prepare(await save("copy.jsonl", rows(10, huatuoRow)));
    expect(second).toMatchObject({ hit: true, path: first.path, contentKey: first.contentKey, summary: first.summary });
    expect(await cached()).toEqual([basename(first.path)]);
  });

  it("makes another file when any input changes", async () => {
    const path = await save("a.jsonl", rows(10, huatuoRow));
    const changes: Partial<RunConfig>[] = [
      {},
      { maxLength: 40 },
      { trainOnInputs: true },
      { chatTemplate: "vicuna" },
      { format: "huatuo" },
      { evalSplit: 0.2 },
      { evalSplit: 0.2, seed: 7 },
    ];
    const paths = new Set<string>();
    for (const change of changes) paths.add((await prepare(path, change)).path);
    await writeTokenizer(tinyTokenizer(modelDirectory, { config: { eos_token: "<s>" } }));
    paths.add((await prepare(path)).path);
    paths.add((await prepare(path, {}, { evalData: [path] })).path);
    expect(paths.size).toBe(changes.length + 2);
  });

  it("finds the same file whatever the seed when nothing is held out", async () => {
    const path = await save("a.jsonl", rows(10, huatuoRow));
    expect((await prepare(path, { seed: 1 })).path).toBe((await prepare(path, { seed: 2 })).path);
  });

  it("does the work once when several prepare the same at the same time", async () => {
    const path = await save("a.jsonl", rows(300, huatuoRow));
    const all = await Promise.all(Array.from({ length: 4 }, () => prepare(path)));
    expect(all.filter(({ hit }) => !hit)).toHaveLength(1);
    expect(new Set(all.map((one) => one.contentKey)).size).toBe(1);
    expect(await cached()).toHaveLength(1);
  });

  it("removes what a killed process left of the same file, and nothing else", async () => {
    const path = await save("a.jsonl", rows(10, huatuoRow));
    const { path: tokens } = await prepare(path);
    await rm(tokens);
    const other = join(directory, "cache", "other.tokens.1-2.part");
    await writeFile(`${tokens}.1-2.part`, "half");
    await writeFile(other, "half");
    await prepare(path);
    expect((await cached()).sort()).toEqual([tokens, other].map((one) => basename(one)).sort());
  });

  it("makes a damaged file again and says so", async () => {
    const path = await save("a.jsonl", rows(10, huatuoRow));
    const first = await prepare(path);
    const good = await readFile(first.path);
    await truncate(first.path, good.length - 5);
    const second = await prepare(path);
    expect(second).toMatchObject({ hit: false, reason: expect.stringMatching(/cache was damaged: it has \d+ bytes/) });
    expect((await readFile(first.path)).equals(good)).toBe(true);

    const flipped = Buffer.from(good);
    flipped[70]! ^= 1;
    await writeFile(first.path, flipped);
    expect((await prepare(path)).reason).toMatch(/checksum of its samples is wrong/);
    expect((await prepare(path)).hit).toBe(true);
  });

  it("holds out the same rows each time, others for another seed, and none for training", async () => {
    const path = await save("a.jsonl", rows(40, huatuoRow));
    const held = async (seed: number) => readAll((await prepare(path, { evalSplit: 0.25, seed })).path, "evaluation");
    const first = await held(1);
    expect(first).toHaveLength(10);
    await rm(join(directory, "cache"), { recursive: true });
    expect(await held(1)).toEqual(first);
    expect(await held(2)).not.toEqual(first);
    const train = await readAll((await prepare(path, { evalSplit: 0.25, seed: 1 })).path, "train");
    const all = await readAll((await prepare(path)).path, "train");
    const key = (sample: { ids: number[] }) => sample.ids.join();
    expect([...train, ...first].map(key).sort()).toEqual(all.map(key).sort());
  });

  it("takes the held-out samples from a file of their own, and then holds out none", async () => {
    const path = await save("a.jsonl", rows(10, huatuoRow));
    const evalDataPath = await save("e.json", JSON.stringify(rows(3, (index) => sharegptRow(index + 100))));
    const prepared = await prepare(path, { evalSplit: 0.5 }, { evalData: [evalDataPath] });
    expect(prepared.summary).toMatchObject({ rows: 13, trainSize: 10, evaluationSize: 3 });
  });

  it("counts what it cuts and drops", async () => {
    const path = await save("a.jsonl", [
      sharegptRow(1),
      { conversations: [] },
      { conversations: [{ from: "human", value: "no answer" }] },
      {
        conversations: [
          { from: "human", value: "x".repeat(200) },
          { from: "gpt", value: "beyond" },
        ],
      },
      {
        conversations: [
          { from: "human", value: "a" },
          { from: "gpt", value: "y".repeat(200) },
        ],
      },
      { text: "" },
    ]);
    const { summary } = await prepare(path, { maxLength: 100 });
    expect(summary).toMatchObject({
      rows: 6,
      trainSize: 2,
      unlabelled: 3,
      cut: 1,
      dropped: 4,
      truncated: 1,
      longest: 100,
    });
    expect(summary.tokens).toBe(summary.trainTokens);
  });

  it("reads several files, globs and directories, of any format row by row, and reports the formats", async () => {
    await mkdir(join(directory, "more"));
    const first = await save("a.jsonl", [huatuoRow(1), sharegptRow(2), { text: "t" }]);
    await save("more/b.csv", "instruction,output\nq,a\n");
    await save("more/c.jsonl", [
      { prompt: "p", completion: "c" },
      { problem_statement: "p", patch: "d" },
    ]);
    const { message, reason, summary } = await prepare([first, join(directory, "more", "*")]);
    expect(summary).toMatchObject({ files: 3, rows: 6, trainSize: 6, badRows: 0 });
    expect(summary.formats).toEqual({ huatuo: 1, sharegpt: 1, text: 1, alpaca: 1, "prompt-completion": 1, swe: 1 });
    expect(message).toBe(
      "6 rows in 3 files: 1 huatuo, 1 sharegpt, 1 text, 1 alpaca, 1 prompt-completion, 1 swe; 6 samples for training. " +
        reason,
    );
    expect(await prepare([first, join(directory, "more")])).toMatchObject({
      hit: true,
      summary,
      contentKey: expect.any(String),
    });
  });

  it("gives the same samples whether rows are in one file or several", async () => {
    const whole = await prepare(await save("all.jsonl", rows(30, huatuoRow)), { evalSplit: 0.1 });
    const parts = [
      await save("1.jsonl", rows(10, huatuoRow)),
      await save("2.json", JSON.stringify(rows(30, huatuoRow).slice(10))),
    ];
    expect((await prepare(parts, { evalSplit: 0.1 })).contentKey).toBe(whole.contentKey);
  });

  it("reads columns under the names that --columns gives them", async () => {
    const path = await save("a.jsonl", [{ question: "q", answer: "a" }]);
    await expect(prepare(path)).rejects.toThrow(/the keys "question", "answer", which fit none/);
    const { contentKey } = await prepare(path, { columns: ["instruction=question", "output=answer"] });
    expect(contentKey).toBe((await prepare(await save("b.jsonl", [{ instruction: "q", output: "a" }]))).contentKey);
  });

  it("takes the first samples only where a limit is set, and stops reading there", async () => {
    const path = await save("a.jsonl", [...rows(50, huatuoRow), { not: "read" }]);
    const limited = await prepare(path, { maxTrainSamples: 20 });
    expect(limited.summary).toMatchObject({ trainSize: 20, evaluationSize: 0, rows: 20 });
    const first = await prepare(await save("b.jsonl", rows(20, huatuoRow)));
    expect(limited.contentKey).toBe(first.contentKey);
    const split = await prepare(path, { maxTrainSamples: 20, evalSplit: 0.25 });
    expect(split.summary).toMatchObject({ trainSize: 20, evaluationSize: 7 });
    const both = await prepare(path, { maxTrainSamples: 20, maxEvalSamples: 3, evalSplit: 0.25 });
    expect(both.summary).toMatchObject({ trainSize: 20, evaluationSize: 3, rows: 23 });
  });

  it("takes the first held-out samples of a file of their own", async () => {
    const path = await save("a.jsonl", rows(10, huatuoRow));
    const { summary } = await prepare(path, { maxEvalSamples: 4 }, { evalData: [path] });
    expect(summary).toMatchObject({ trainSize: 10, evaluationSize: 4, rows: 14 });
  });

  it("skips and counts rows on which the template fails, and keeps the counts in the cache", async () => {
    const path = await save("a.jsonl", [sharegptRow(1), { conversations: [{ from: "gpt", value: "first" }] }]);
    const config = { chatTemplate: "llama2", skipBadRows: true };
    await expect(prepare(path, { chatTemplate: "llama2" })).rejects.toMatchObject({ code: "TEMPLATE_INVALID" });
    const { summary } = await prepare(path, config);
    expect(summary).toMatchObject({ rows: 2, trainSize: 1, badRows: 1, formats: { sharegpt: 1 } });
    expect(summary.problems[0]).toMatch(/a\.jsonl, line 2: the template llama2 fails on this row/);
    expect(await prepare(path, config)).toMatchObject({ hit: true, summary });
  });

  it("says what was wrong when every row is skipped", async () => {
    const path = await save("a.jsonl", "{}\n{}\n");
    await expect(prepare(path, { skipBadRows: true })).rejects.toThrow(
      /nothing to learn: of 2 rows, 2 cannot be read \(the first: .*line 1: the row has the keys \(none\)/,
    );
  });

  it("makes the samples again when their report is lost", async () => {
    const path = await save("a.jsonl", rows(3, huatuoRow));
    const first = await prepare(path);
    await rm(first.path.replace(".tokens", ".report.json"));
    expect(await prepare(path)).toMatchObject({
      hit: false,
      reason: expect.stringMatching(/lost its report/),
      summary: first.summary,
      contentKey: first.contentKey,
    });
  });

  it("reads a text file as one sample per paragraph", async () => {
    const path = await save("a.txt", "\uFEFFFirst line\r\nsecond line\r\n\r\n \t\r\nNext.\n");
    const { path: tokens, summary } = await prepare(path, { format: "huatuo" });
    expect(summary).toMatchObject({ rows: 2, trainSize: 2 });
    const [first] = await readAll(tokens, "train");
    // <s>, the bytes, <|im_end|>
    expect(first!.ids).toHaveLength("First line\nsecond line".length + 2);
    expect(new Set(first!.mask)).toEqual(new Set([1]));
  });

  it("reports its progress", async () => {
    const path = await save("a.jsonl", rows(100, huatuoRow));
    const seen: string[] = [];
    const onProgress: PrepareOptions["onProgress"] = ({ phase, done, total }) => seen.push(`${phase} ${done}/${total}`);
    await prepare(path, {}, { onProgress });
    const { length } = await readFile(path);
    expect(seen).toEqual([
      `reading ${length}/${length}`,
      "tokenizing 32/100",
      "tokenizing 64/100",
      "tokenizing 96/100",
      "tokenizing 100/100",
      "saving 0/100",
      "saving 100/100",
    ]);
  });

  it.each([
    ["an empty file", "", /is empty \(0 bytes\)/],
    ["blank lines alone", "\n \n\n", /has no rows/],
    ["an empty array", " [ ]\n", /has no rows/],
    ["no answer in any row", '{"data": ["问：a"]}\n', /nothing to learn: of 1 rows, 1 have no answer and 0/],
    ["a row of no known format", '{"text": "a"}\n\n{"q": 1}\n', /a\.jsonl, line 3: the row has the keys "q", which/],
  ])("refuses %s", async (_, content, message) => {
    const path = await save("a.jsonl", content);
    await expect(prepare(path)).rejects.toMatchObject({
      code: "DATA_INVALID",
      message: expect.stringMatching(message),
    });
    const cache = join(directory, "cache");
    expect(existsSync(cache) ? await readdir(cache) : []).toEqual([]);
  });

  it("refuses a file that is not there, a directory, and one that may not be read", async () => {
    await expect(prepare(join(directory, "no.jsonl"))).rejects.toMatchObject({
      code: "DATA_INVALID",
      message: expect.stringMatching(/no\.jsonl does not exist/),
    });
    await mkdir(join(directory, "d"));
    await expect(prepare(join(directory, "d"))).rejects.toThrow(/d has no data file; --data looks for/);
    const path = await save("secret.jsonl", rows(1, huatuoRow));
    await chmod(path, 0);
    // The superuser may read everything.
    if (process.getuid?.() !== 0) await expect(prepare(path)).rejects.toThrow(/no permission/);
  });

  it("refuses dialogues without a chat template, and learns plain text without one", async () => {
    await writeTokenizer(tinyTokenizer(modelDirectory, { chatTemplate: null }));
    await expect(prepare(await save("a.jsonl", rows(2, huatuoRow)))).rejects.toMatchObject({
      code: "TEMPLATE_INVALID",
      message: expect.stringMatching(/a\.jsonl, line 1: .*no chat template; name one with --chat-template/),
    });
    expect((await prepare(await save("t.jsonl", [{ text: "a b c" }]))).summary.trainSize).toBe(1);
  });

  it("refuses a model directory without a tokenizer", async () => {
    await rm(join(modelDirectory, "tokenizer.json"));
    await expect(prepare(await save("a.jsonl", rows(2, huatuoRow)))).rejects.toMatchObject({ code: "MODEL_INVALID" });
  });

  it("stops when aborted and leaves nothing behind", async () => {
    const path = await save("a.jsonl", rows(500, huatuoRow));
    const controller = new AbortController();
    const reason = new Error("stop");
    const onProgress: PrepareOptions["onProgress"] = ({ phase }) => {
      if (phase === "tokenizing") controller.abort(reason);
    };
    await expect(prepare(path, {}, { signal: controller.signal, onProgress })).rejects.toBe(reason);
    expect(await readdir(join(directory, "cache"))).toEqual([]);
  });

  it("adds variants of training samples, none of held-out ones, the same ones by the same seed", async () => {
    const asked = (index: number) => ({
      data: [`问：please tell me about number ${index} now`, `答：answer ${index}`],
    });
    const path = await save("rows.jsonl", [...rows(20, asked), { data: ["问：nobody answers"] }]);
    const plain = await prepare(path, { evalSplit: 0.2 });
    const config = { evalSplit: 0.2, augment: 2, augmentSwap: 0.5 };
    const augmented = await prepare(path, config);
    expect(plain.summary).toMatchObject({ trainSize: 16, evaluationSize: 4, variants: 0 });
    const { trainSize, variants } = augmented.summary;
    expect(variants).toBeGreaterThan(20);
    expect(variants).toBeLessThanOrEqual(32);
    expect(augmented.summary).toMatchObject({ trainSize: 16 + variants, evaluationSize: 4, unlabelled: 1 });
    expect(augmented.message).toContain(
      `${trainSize} samples for training (${variants} of them variants by --augment)`,
    );
    expect(augmented.weights).toEqual([1, 1]);
    expect(await readAll(augmented.path, "evaluation")).toEqual(await readAll(plain.path, "evaluation"));
    const [before, after] = [await readAll(plain.path, "train"), await readAll(augmented.path, "train")];
    expect(after.slice(0, 16)).toEqual(before);
    // Answers stand as they are: a variant learns what some sample learns, and no held-out one.
    const learned = ({ ids, mask }: { ids: number[]; mask: number[] }) => ids.filter((_, at) => mask[at] === 1).join();
    const answers = new Set(before.map(learned));
    for (const variant of after.slice(16)) expect(answers.has(learned(variant))).toBe(true);
    expect((await prepare(path, config)).hit).toBe(true);
    const again = await prepare(path, config, { cacheDirectory: join(directory, "another") });
    expect(again.contentKey).toBe(augmented.contentKey);
    expect((await prepare(path, { ...config, seed: 7 })).contentKey).not.toBe(augmented.contentKey);
  });

  it("knows variants by the content of their dictionary", async () => {
    const path = await save("rows.jsonl", rows(5, huatuoRow));
    const augmentSynonyms = await save("synonyms.txt", "question,query\n");
    const config = { augment: 1, augmentSynonyms, augmentReplace: 1, augmentDelete: 0, augmentSwap: 0 };
    expect((await prepare(path, config)).summary).toMatchObject({ trainSize: 10, variants: 5 });
    await save("synonyms.txt", "question,problem\n");
    expect((await prepare(path, config)).hit).toBe(false);
  });
});

const medical = resolve(process.env["COORD_SHARED_DATA"] ?? "../shared/data");

describe.skipIf(!existsSync(join(medical, "medical_huatuo_1k.jsonl")))(
  "the medical dialogues (skipped where ../shared/data is absent)",
  () => {
    it("give the identical token file in both forms", { timeout: 60_000 }, async () => {
      const config = { evalSplit: 0.1, maxLength: 512 };
      const huatuo = await prepare(join(medical, "medical_huatuo_1k.jsonl"), config);
      const sharegpt = await prepare(join(medical, "medical_sharegpt_1k.jsonl"), config);
      expect(huatuo.summary).toEqual({ ...sharegpt.summary, formats: { huatuo: 1000 } });
      expect(huatuo.contentKey).toBe(sharegpt.contentKey);
      expect((await readFile(huatuo.path)).equals(await readFile(sharegpt.path))).toBe(true);
      expect(huatuo.summary).toMatchObject({ rows: 1000 });
      expect(huatuo.summary.trainSize + huatuo.summary.evaluationSize + huatuo.summary.dropped).toBe(1000);
    });
  },
);
