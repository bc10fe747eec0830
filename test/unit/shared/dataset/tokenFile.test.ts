import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openTokenFile, TokenFileDamaged } from "../../../../shared/dataset/tokenFile.ts";
import { TokenFileWriter } from "../../../../shared/dataset/tokenFileWriter.ts";

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-tokens-"));
  path = join(directory, "key.tokens");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const counts = { rows: 9, truncated: 1, cutTokens: 5, tooLong: 0, unlabelled: 2, cut: 3 };
type Sample = readonly [ids: readonly number[], mask: readonly number[]];
const samples: readonly Sample[] = [
  [
    [1, 2, 3],
    [0, 1, 1],
  ],
  [
    [65_535, 0, 7, 8, 9, 10, 11, 12, 13],
    [0, 0, 1, 1, 0, 0, 0, 0, 1],
  ],
  [
    [5, 6],
    [1, 1],
  ],
];

async function write(list: readonly Sample[], width: 2 | 4, evaluation: readonly number[]) {
  const writer = await TokenFileWriter.create(path, width);
  for (const [ids, mask] of list) await writer.append(Uint32Array.from(ids), Uint8Array.from(mask));
  return writer.commit(evaluation, counts);
}

describe("the token file", () => {
  it("gives back what was written, training and held-out samples apart", async () => {
    const header = await write(samples, 2, [1]);
    const file = await openTokenFile(path);
    expect(file.contentKey).toBe(header.contentKey);
    expect([file.trainSize, file.evaluationSize, file.trainTokens]).toEqual([2, 1, 5]);
    expect(file.header.counts).toEqual({
      ...counts,
      trainSize: 2,
      evaluationSize: 1,
      trainTokens: 5,
      evaluationTokens: 9,
      trainLabels: 4,
      longest: 9,
    });
    const read = async (split: "train" | "evaluation", index: number) => {
      const { inputIds, labelMask } = await file.sample(split, index);
      return [[...inputIds], [...labelMask]];
    };
    expect(await read("train", 0)).toEqual(samples[0]);
    expect(await read("train", 1)).toEqual(samples[2]);
    expect(await read("evaluation", 0)).toEqual(samples[1]);
    await expect(file.sample("train", 2)).rejects.toThrow(RangeError);
    await expect(file.sample("evaluation", -1)).rejects.toThrow(RangeError);
    await file.verify(new AbortController().signal);
    await file.close();
  });

  it("keeps any samples, in either width", async () => {
    const width = fc.constantFrom<2 | 4>(2, 4);
    const lists = fc.array(fc.array(fc.tuple(fc.nat(65_535), fc.nat(1)), { minLength: 1, maxLength: 40 }), {
      minLength: 1,
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(lists, width, async (list, bytes) => {
        const written = list.map((one): Sample => [one.map(([id]) => id), one.map(([, bit]) => bit)]);
        await write(written, bytes, []);
        const file = await openTokenFile(path);
        for (const [index, [ids, mask]] of written.entries()) {
          const sample = await file.sample("train", index);
          expect([...sample.inputIds]).toEqual(ids);
          expect([...sample.labelMask]).toEqual(mask);
        }
        await file.close();
      }),
      { numRuns: 25 },
    );
  });

  it("keeps ids beyond 65,535 when they are four bytes wide", async () => {
    await write(
      [
        [
          [151_643, 4_294_967_295],
          [0, 1],
        ],
      ],
      4,
      [],
    );
    const file = await openTokenFile(path);
    expect([...(await file.sample("train", 0)).inputIds]).toEqual([151_643, 4_294_967_295]);
    await file.close();
  });

  it("has the same bytes for the same samples, and another key for other ids, labels or hold-out", async () => {
    const first = await write(samples, 2, [1]);
    const bytes = await readFile(path);
    expect(await write(samples, 2, [1])).toEqual(first);
    expect((await readFile(path)).equals(bytes)).toBe(true);
    const [one, two, three] = samples as [Sample, Sample, Sample];
    const others = [
      await write(samples, 2, [0]),
      await write([[[1, 2, 4], one[1]], two, three], 2, [1]),
      await write([[one[0], [0, 0, 1]], two, three], 2, [1]),
    ];
    expect(new Set([first, ...others].map((header) => header.contentKey)).size).toBe(4);
  });

  it("is found damaged whichever byte is changed", async () => {
    await write(samples, 2, [1]);
    const good = await readFile(path);
    for (let at = 0; at < good.length; at++) {
      const bad = Buffer.from(good);
      bad[at]! ^= 0x40;
      await writeFile(path, bad);
      const reading = (async () => {
        const file = await openTokenFile(path);
        try {
          await file.verify(new AbortController().signal);
        } finally {
          await file.close();
        }
      })();
      // Eight bytes of the preamble are spare, and nothing depends on them.
      if (at >= 24 && at < 32) await reading;
      else await expect(reading, `byte ${at}`).rejects.toThrow(TokenFileDamaged);
    }
  });

  it("is found damaged at any shorter length", async () => {
    await write(samples, 2, []);
    const good = await readFile(path);
    for (let length = 0; length < good.length; length++) {
      await writeFile(path, good.subarray(0, length));
      await expect(openTokenFile(path), `length ${length}`).rejects.toThrow(TokenFileDamaged);
    }
  });

  it("notices a damaged sample when that sample is read", async () => {
    await write(samples, 2, []);
    const bytes = await readFile(path);
    bytes[64]! ^= 1;
    await writeFile(path, bytes);
    const file = await openTokenFile(path);
    await expect(file.sample("train", 0)).rejects.toThrow(/damaged: the checksum of sample 0 is wrong/);
    await expect(file.sample("train", 1)).resolves.toBeDefined();
    await file.close();
  });

  it("leaves nothing behind when it is abandoned, and nothing but itself when it is committed", async () => {
    const writer = await TokenFileWriter.create(path, 2);
    await writer.append(Uint32Array.of(1, 2), Uint8Array.of(0, 1));
    expect((await readdir(directory)).every((name) => name.endsWith(".part"))).toBe(true);
    await writer.abandon();
    expect(await readdir(directory)).toEqual([]);
    await write(samples, 2, []);
    expect(await readdir(directory)).toEqual(["key.tokens"]);
  });

  it("says STORAGE_FAILED where it cannot be written", async () => {
    await expect(TokenFileWriter.create(join(directory, "absent", "key.tokens"), 2)).rejects.toMatchObject({
      code: "STORAGE_FAILED",
    });
  });
});
