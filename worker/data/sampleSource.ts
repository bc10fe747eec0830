import { join } from "node:path";
import { openTokenFile, type TokenFile, type TokenSample, type TokenSplit } from "../../shared/dataset/tokenFile.ts";
import { CoordError } from "../../shared/errors.ts";
import { type LocateRowsResponse, Split } from "../../shared/gen/coord/v1/data_pb.ts";
import type { Sample } from "../train/collate.ts";
import { SampleCache } from "./sampleCache.ts";

/** Which rows: places in the order of an epoch (training), or numbers (held out). */
export interface RowRequest {
  readonly split: Split;
  readonly epoch: number;
}

/** The calls to the coordinator. */
export interface SampleCalls {
  locate(from: RowRequest, places: readonly number[], signal: AbortSignal): Promise<LocateRowsResponse>;
  /** In the order asked for. */
  fetch(split: Split, samples: readonly number[], signal: AbortSignal): AsyncIterable<TokenSample>;
}

/** Rows or samples that one request asks for; the coordinator takes no more than 4096. */
const atOnce = 1024;

/**
 * The rows that a worker trains on. Their samples come from the token file where this host sees the one that the
 * coordinator reads, otherwise from what the coordinator has sent to this host before, by the hash of the samples;
 * what is in neither is asked for, and kept. A disk that does not play along costs the keeping, never the training.
 */
export class SampleSource {
  readonly #calls: SampleCalls;
  readonly #directory: string;
  #opened: { readonly contentKey: string; readonly places: Promise<Places> } | undefined;
  /** Samples that came from each place. */
  readonly came = { tokenFile: 0, cache: 0, coordinator: 0 };

  constructor(calls: SampleCalls, directory: string) {
    this.#calls = calls;
    this.#directory = directory;
  }

  /** Rows of tokens in the order asked for. */
  async rows(from: RowRequest, places: readonly number[], signal: AbortSignal): Promise<Sample[]> {
    const rows: Sample[] = [];
    for (let at = 0; at < places.length; at += atOnce) {
      rows.push(...(await this.#rows(from, places.slice(at, at + atOnce), signal)));
    }
    return rows;
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    const places = await opened?.places;
    await places?.file?.close();
    await places?.cache?.close();
  }

  async #rows(from: RowRequest, places: readonly number[], signal: AbortSignal): Promise<Sample[]> {
    const located = await this.#calls.locate(from, places, signal);
    if (located.rows.length !== places.length) {
      throw new CoordError("INTERNAL", `Asked for ${places.length} rows, was told of ${located.rows.length}.`);
    }
    const rows = located.rows.map(({ samples }) => samples.map(Number));
    const samples = await this.#samples(from.split, located, [...new Set(rows.flat())], signal);
    return rows.map((numbers) => joinSamples(numbers.map((number) => samples.get(number)!)));
  }

  async #samples(split: Split, located: LocateRowsResponse, numbers: readonly number[], signal: AbortSignal) {
    const name: TokenSplit = split === Split.TRAIN ? "train" : "evaluation";
    const { cache, file } = await this.#open(located);
    const found = new Map<number, TokenSample>();
    if (file) {
      for (const number of numbers) {
        const sample = await file.sample(name, number).catch(() => undefined);
        if (sample) found.set(number, sample);
      }
      this.came.tokenFile += found.size;
    }
    const take = async () => {
      for (const number of numbers.filter((one) => !found.has(one))) {
        const sample = await cache?.read(name, number).catch(() => undefined);
        if (sample) found.set(number, sample);
        if (sample) this.came.cache++;
      }
    };
    await take();
    if (cache && found.size < numbers.length) {
      // Another worker of this host may have been sent them meanwhile.
      await cache.refresh().catch(() => {});
      await take();
    }
    await this.#fetch(split, name, cache, found, numbers, signal);
    return found;
  }

  async #fetch(
    split: Split,
    name: TokenSplit,
    cache: SampleCache | undefined,
    found: Map<number, TokenSample>,
    numbers: readonly number[],
    signal: AbortSignal,
  ): Promise<void> {
    const missing = numbers.filter((number) => !found.has(number));
    for (let at = 0; at < missing.length; at += atOnce) {
      const wanted = missing.slice(at, at + atOnce);
      const fetched: (TokenSample & { number: number })[] = [];
      for await (const sample of this.#calls.fetch(split, wanted, signal)) {
        const number = wanted[fetched.length];
        if (number === undefined) break;
        fetched.push({ ...sample, number });
        found.set(number, sample);
      }
      if (fetched.length !== wanted.length) {
        throw new CoordError("INTERNAL", `Asked for ${wanted.length} samples, got ${fetched.length}.`);
      }
      this.came.coordinator += fetched.length;
      await cache?.append(name, fetched).catch(() => {});
    }
  }

  /** One opening for all that ask at once. */
  #open({ contentKey, path }: LocateRowsResponse): Promise<Places> {
    if (this.#opened?.contentKey !== contentKey) {
      const before = this.close();
      const places = before.then(() => openPlaces(path, contentKey, this.#directory));
      this.#opened = { contentKey, places };
    }
    return this.#opened!.places;
  }
}

/** Where samples are looked for before the coordinator is asked. */
interface Places {
  readonly file: TokenFile | undefined;
  readonly cache: SampleCache | undefined;
}

async function openPlaces(path: string, contentKey: string, directory: string): Promise<Places> {
  const file = await openSame(path, contentKey);
  if (file || !/^[0-9a-f]{64}$/.test(contentKey)) return { file, cache: undefined };
  // On a disk that is full or may not be written to, samples are asked for each time.
  const cache = await SampleCache.open(join(directory, `${contentKey}.samples`)).catch(() => undefined);
  await cache?.refresh().catch(() => {});
  return { file, cache };
}

/** The token file at `path` where this host has it and it holds the same samples. */
async function openSame(path: string, contentKey: string): Promise<TokenFile | undefined> {
  const file = await openTokenFile(path).catch(() => undefined);
  if (file?.contentKey === contentKey) return file;
  await file?.close();
  return undefined;
}

function joinSamples(parts: readonly TokenSample[]): Sample {
  if (parts.length === 1) return parts[0]!;
  const lengths = parts.map(({ inputIds }) => inputIds.length);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const joined = { inputIds: new Uint32Array(total), labelMask: new Uint8Array(total), lengths };
  let at = 0;
  for (const { inputIds, labelMask } of parts) {
    joined.inputIds.set(inputIds, at);
    joined.labelMask.set(labelMask, at);
    at += inputIds.length;
  }
  return joined;
}
