import { existsSync } from "node:fs";
import { appendFile, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { execa } from "execa";
import { afterEach, beforeEach, expect, it } from "vitest";
import { randomKey, randomUint32 } from "../../shared/rng.ts";

const compiled = (path: string) => pathToFileURL(resolve("dist", path)).href;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-prepare-memory-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** Prepares a file in a process of its own and says what that took at most. */
const program = `
  const { prepareDataset } = await import(${JSON.stringify(compiled("coordinator/dataset/prepareDataset.js"))});
  const { runConfigSchema } = await import(${JSON.stringify(compiled("shared/config/schema.js"))});
  const [path, cacheDirectory] = process.argv.slice(2);
  const { summary } = await prepareDataset({
    config: runConfigSchema.parse({ maxLength: 64 }),
    modelDirectory: "deploy/demo/model",
    data: [path],
    cacheDirectory,
    signal: new AbortController().signal,
    onProgress: () => {},
  });
  console.log(JSON.stringify({ rows: summary.rows, peakBytes: process.resourceUsage().maxRSS * 1024 }));
`;

async function prepare(path: string): Promise<{ rows: number; peakBytes: number }> {
  // A file, because threads take over the arguments of a program that is given as text.
  const script = join(directory, "prepare.mjs");
  await writeFile(script, program);
  const { stdout } = await execa(process.execPath, [script, path, join(directory, "cache")]);
  return JSON.parse(stdout) as { rows: number; peakBytes: number };
}

const key = randomKey("rows of a large file");
/** Rows of 4 kB of words that do not repeat; the text behind the first tokens is read, rendered and cut away. */
function row(number: number): string {
  const words = Array.from({ length: 400 }, (_, word) => randomUint32(key, number * 400 + word).toString(36));
  return `${JSON.stringify({ instruction: `question ${number}`, output: words.join(" ") })}\n`;
}

async function write(name: string, rows: number): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, "");
  for (let start = 0; start < rows; start += 1000) {
    await appendFile(path, Array.from({ length: Math.min(1000, rows - start) }, (_, at) => row(start + at)).join(""));
  }
  return path;
}

it.skipIf(!existsSync("dist/coordinator/dataset/prepareDataset.js"))(
  "a file of ten times the size takes no more memory than what its samples' index does (skipped before a build)",
  async () => {
    const [small, large] = [await write("small.jsonl", 2500), await write("large.jsonl", 25_000)];
    expect((await stat(small)).size).toBeGreaterThan(6e6);
    const [first, second] = [await prepare(small), await prepare(large)];
    expect([first.rows, second.rows]).toEqual([2500, 25_000]);
    // The larger one has 60 MB more; garbage that has not been collected yet makes either vary by some tens of MB.
    expect((await stat(large)).size - (await stat(small)).size).toBeGreaterThan(60e6);
    expect(second.peakBytes - first.peakBytes).toBeLessThan(60e6);
    expect(second.peakBytes).toBeLessThan(450e6);
  },
);
