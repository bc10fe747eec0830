import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { tinyTokenizer } from "../support/tinyTokenizer.ts";

// Threads need the compiled program; the types are those of its sources.
type EncodeRows = typeof import("../../coordinator/dataset/encodeRows.ts");
type EncoderModule = typeof import("../../coordinator/dataset/encoder.ts");
const compiled = resolve("dist/coordinator/dataset");
const load = async <T>(name: string): Promise<T> => import(pathToFileURL(join(compiled, name)).href);

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-threads-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const rows = Array.from({ length: 1000 }, (_, index) => ({
  where: `rows.jsonl, line ${index + 1}`,
  format: "openai",
  // Rows of very different lengths, so that threads finish out of turn.
  conversation: {
    messages: [
      { role: "user" as const, content: "q".repeat((index * 7919) % 400) },
      { role: "assistant" as const, content: index % 50 === 0 ? "" : `answer ${index}` },
    ],
  },
}));

async function* asStream<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}

describe.skipIf(!existsSync(join(compiled, "encodeThread.js")))(
  "tokenizing in threads (skipped before a build)",
  () => {
    const setup = {
      files: tinyTokenizer("/model"),
      chatTemplate: "auto",
      maxLength: 300,
      trainOnInputs: false,
      longSamples: "truncate" as const,
      truncationSide: "right" as const,
      skipBadRows: false,
    };

    async function encodeAll(threads: number, list = rows, signal = new AbortController().signal) {
      const { encodeRows } = await load<EncodeRows>("encodeRows.js");
      const { createEncoder } = await load<EncoderModule>("encoder.js");
      const outcomes = [];
      for await (const batch of encodeRows(asStream(list), createEncoder(setup), setup, threads, signal)) {
        outcomes.push(...batch.map(({ outcome }) => outcome));
      }
      return outcomes;
    }

    it("gives the same samples in the same order with any number of threads", async () => {
      const here = await encodeAll(0);
      expect(here).toHaveLength(rows.length);
      expect(here.filter((one) => one === "unlabelled")).toHaveLength(20);
      expect(await encodeAll(1)).toEqual(here);
      expect(await encodeAll(3)).toEqual(here);
    });

    it("reports the first row on which a thread fails, as if it had run here", async () => {
      const bad = {
        where: "rows.jsonl, line 9",
        format: "openai",
        conversation: { messages: [{ role: "user" as const, content: "x" }] },
      };
      const { createEncoder } = await load<EncoderModule>("encoder.js");
      const { encodeRows } = await load<EncodeRows>("encodeRows.js");
      const failing = { ...setup, chatTemplate: "llama2", trainOnInputs: true };
      const list = [bad, { ...bad, conversation: { messages: [{ role: "assistant" as const, content: "x" }] } }];
      const run = async () => {
        const signal = new AbortController().signal;
        for await (const _ of encodeRows(asStream(list), createEncoder(failing), failing, 2, signal));
      };
      await expect(run()).rejects.toMatchObject({
        name: "CoordError",
        code: "TEMPLATE_INVALID",
        message: expect.stringMatching(
          /^rows\.jsonl, line 9: the template llama2 fails on this row: turns must alternate/,
        ),
      });
    });

    it("stops its threads when aborted", async () => {
      const controller = new AbortController();
      const reason = new Error("stop");
      controller.abort(reason);
      await expect(encodeAll(2, rows, controller.signal)).rejects.toBe(reason);
    });

    it("is what a large data set gets, with the samples of a small one", async () => {
      const { prepareDataset } =
        await load<typeof import("../../coordinator/dataset/prepareDataset.ts")>("prepareDataset.js");
      const { runConfigSchema } = (await import(
        pathToFileURL(resolve("dist/shared/config/schema.js")).href
      )) as typeof import("../../shared/config/schema.ts");
      const { writeTokenizer } = await import("../support/tinyTokenizer.ts");
      const modelDirectory = join(directory, "model");
      await writeTokenizer(tinyTokenizer(modelDirectory));
      const row = `${JSON.stringify({ text: "a paragraph of text ".repeat(50) })}\n`;
      const prepare = async (name: string, times: number) => {
        const dataPath = join(directory, name);
        await writeFile(dataPath, row.repeat(times));
        return prepareDataset({
          config: runConfigSchema.parse({}),
          modelDirectory,
          data: [dataPath],
          cacheDirectory: join(directory, "cache"),
          signal: new AbortController().signal,
          onProgress: () => {},
        });
      };
      const small = await prepare("small.jsonl", 10);
      const large = await prepare("large.jsonl", 5000);
      expect(large.summary.trainTokens).toBe(small.summary.trainTokens * 500);
      expect(large.summary.truncated).toBe(5000);
    });
  },
);
