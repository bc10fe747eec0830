import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openTokenFile } from "../../../../shared/dataset/tokenFile.ts";
import { TokenFileWriter } from "../../../../shared/dataset/tokenFileWriter.ts";
import { LocateRowsResponseSchema, Split } from "../../../../shared/gen/coord/v1/data_pb.ts";
import { type SampleCalls, SampleSource } from "../../../../worker/data/sampleSource.ts";

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-source-"));
  path = join(directory, "key.tokens");
});
afterEach(() => rm(directory, { recursive: true }));

const ids = (number: number) => Uint32Array.of(number, 10 + number, 20 + number);

/** A coordinator with ten training samples of which the last is held out, two of them in each row. */
async function coordinator(seen: string): Promise<{ calls: SampleCalls; asked: number[]; contentKey: string }> {
  const writer = await TokenFileWriter.create(path, 2);
  for (let number = 0; number < 10; number++) await writer.append(ids(number), Uint8Array.of(0, 1, 1));
  const counts = { rows: 10, truncated: 0, cutTokens: 0, tooLong: 0, unlabelled: 0, cut: 0 };
  const { contentKey } = await writer.commit([9], counts);
  const asked: number[] = [];
  const calls: SampleCalls = {
    locate: async ({ split }, places) => {
      const rows = places.map((place) => ({
        samples: split === Split.TRAIN ? [BigInt(2 * place), BigInt(2 * place + 1)] : [BigInt(place)],
      }));
      return create(LocateRowsResponseSchema, { contentKey, path: seen, rows });
    },
    async *fetch(split, samples) {
      const file = await openTokenFile(path);
      try {
        for (const number of samples) {
          asked.push(number);
          yield await file.sample(split === Split.TRAIN ? "train" : "evaluation", number);
        }
      } finally {
        await file.close();
      }
    },
  };
  return { calls, asked, contentKey };
}

const { signal } = new AbortController();
const train = { split: Split.TRAIN, epoch: 0 };
const row = (place: number) => ({
  inputIds: Uint32Array.of(...ids(2 * place), ...ids(2 * place + 1)),
  labelMask: Uint8Array.of(0, 1, 1, 0, 1, 1),
  lengths: [3, 3],
});

it("reads the coordinator's token file where it sees it, and asks for nothing", async () => {
  const { asked, calls } = await coordinator(path);
  const source = new SampleSource(calls, join(directory, "samples"));
  expect(await source.rows(train, [1, 0], signal)).toEqual([row(1), row(0)]);
  expect(await source.rows({ split: Split.EVALUATION, epoch: 0 }, [0], signal)).toMatchObject([{ inputIds: ids(9) }]);
  expect(asked).toEqual([]);
  expect(source.came).toEqual({ tokenFile: 5, cache: 0, coordinator: 0 });
  await source.close();
});

it("asks for each sample once where it does not see the file, in all epochs and all processes of the host", async () => {
  const { asked, calls, contentKey } = await coordinator("/nowhere/key.tokens");
  const samples = join(directory, "samples");
  const [first, second] = [new SampleSource(calls, samples), new SampleSource(calls, samples)];
  expect(await first.rows(train, [1, 0], signal)).toEqual([row(1), row(0)]);
  expect(asked).toEqual([2, 3, 0, 1]);
  expect(await second.rows({ ...train, epoch: 1 }, [0, 2], signal)).toEqual([row(0), row(2)]);
  expect(asked).toEqual([2, 3, 0, 1, 4, 5]);
  expect(await first.rows(train, [2, 1, 2], signal)).toEqual([row(2), row(1), row(2)]);
  expect(asked).toHaveLength(6);
  expect(first.came).toEqual({ tokenFile: 0, cache: 4, coordinator: 4 });
  expect(await readdir(samples)).toEqual([`${contentKey}.samples`]);
  await Promise.all([first.close(), second.close()]);
});

it("does not take a file with other samples for the coordinator's", async () => {
  const other = join(directory, "other.tokens");
  const writer = await TokenFileWriter.create(other, 2);
  await writer.append(ids(7), Uint8Array.of(0, 1, 1));
  await writer.commit([], { rows: 1, truncated: 0, cutTokens: 0, tooLong: 0, unlabelled: 0, cut: 0 });
  const { asked, calls } = await coordinator(other);
  const source = new SampleSource(calls, join(directory, "samples"));
  expect(await source.rows(train, [0], signal)).toEqual([row(0)]);
  expect(asked).toEqual([0, 1]);
  await source.close();
});

it("trains without keeping anything where the disk does not take it", async () => {
  const { asked, calls } = await coordinator("/nowhere/key.tokens");
  // A file where the directory should be: also root cannot make one there.
  const source = new SampleSource(calls, join(path, "samples"));
  expect(await source.rows(train, [0], signal)).toEqual([row(0)]);
  expect(await source.rows(train, [0], signal)).toEqual([row(0)]);
  expect(asked).toEqual([0, 1, 0, 1]);
  await source.close();
});
