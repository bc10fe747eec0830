import { appendFile, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, it } from "vitest";
import { SampleCache } from "../../../../worker/data/sampleCache.ts";

let directory: string;
let path: string;
let opened: SampleCache[];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-samples-"));
  path = join(directory, "some", "key.samples");
  opened = [];
});
afterEach(async () => {
  for (const cache of opened) await cache.close();
  await rm(directory, { recursive: true });
});

async function open(): Promise<SampleCache> {
  const cache = await SampleCache.open(path);
  opened.push(cache);
  await cache.refresh();
  return cache;
}

const sample = (number: number, tokens = 5 + number) => ({
  number,
  inputIds: Uint32Array.from({ length: tokens }, (_, at) => number * 100_000 + at),
  labelMask: Uint8Array.from({ length: tokens }, (_, at) => at % 2),
});
const content = (number: number, tokens?: number) => {
  const { inputIds, labelMask } = sample(number, tokens);
  return { inputIds, labelMask };
};

it("gives back what was appended, also to those that open it later, and nothing else", async () => {
  const first = await open();
  await first.append("train", [sample(1), sample(2)]);
  await first.append("evaluation", [sample(1, 3)]);
  const second = await open();
  expect(await second.read("train", 2)).toEqual(content(2));
  expect(await second.read("evaluation", 1)).toEqual(content(1, 3));
  expect(await second.read("evaluation", 2)).toBeUndefined();
});

it("takes in what another process appends after a refresh", async () => {
  const [first, second] = [await open(), await open()];
  await Promise.all([first.append("train", [sample(1)]), second.append("train", [sample(2)])]);
  expect(await first.read("train", 2)).toBeUndefined();
  await first.refresh();
  expect(await first.read("train", 2)).toEqual(content(2));
  expect(await first.read("train", 1)).toEqual(content(1));
});

it("passes over what a killed process left of a record, wherever it was cut", async () => {
  await (await open()).append("train", [sample(1), sample(2)]);
  const whole = await readFile(path);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: whole.length - 1 }), async (length) => {
      await writeFile(path, whole);
      await truncate(path, length);
      const cache = await SampleCache.open(path);
      await cache.append("train", [sample(3)]);
      await cache.refresh();
      expect(await cache.read("train", 3)).toEqual(content(3));
      await cache.close();
    }),
    { numRuns: 60 },
  );
});

it("does not give a sample of which a bit has changed", async () => {
  const cache = await open();
  await cache.append("train", [sample(1), sample(2)]);
  await cache.refresh();
  const bytes = await readFile(path);
  bytes[30]! ^= 1;
  await writeFile(path, bytes);
  expect(await cache.read("train", 1)).toBeUndefined();
  expect(await cache.read("train", 2)).toEqual(content(2));
  const later = await open();
  expect(await later.read("train", 1)).toBeUndefined();
  expect(await later.read("train", 2)).toEqual(content(2));
});

it("reads samples that are larger than what it reads at once, and waits for a record that is being written", async () => {
  const cache = await open();
  await cache.append("train", [sample(1, 2_000_000), sample(2)]);
  const bytes = await readFile(path);
  const later = await open();
  expect(await later.read("train", 2)).toEqual(content(2));
  await writeFile(path, bytes.subarray(0, 1000));
  const waiting = await open();
  expect(await waiting.read("train", 1)).toBeUndefined();
  await appendFile(path, bytes.subarray(1000));
  await waiting.refresh();
  expect((await waiting.read("train", 1))?.inputIds).toHaveLength(2_000_000);
});
