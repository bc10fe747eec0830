import type { RunConfig } from "../../shared/config/schema.ts";
import type { EncodedSample } from "../../shared/dataset/encodeSample.ts";
import type { TokenFileHeader } from "../../shared/dataset/tokenFileFormat.ts";
import { type RowCounts, TokenFileWriter } from "../../shared/dataset/tokenFileWriter.ts";
import type { TokenizerFiles } from "../../shared/dataset/tokenizer.ts";
import { CoordError } from "../../shared/errors.ts";
import { type Augmentation, augmentRows } from "./augmentation.ts";
import { type DatasetReport, ReportCounter, writeReport } from "./datasetReport.ts";
import { encodeRows } from "./encodeRows.ts";
import { createEncoder, type Encoder, type EncoderSetup, encoderSetup } from "./encoder.ts";
import { type DataFile, expectUnchanged } from "./fingerprint.ts";
import { holdOut, samplesNeeded } from "./holdOut.ts";
import { readConversations } from "./readConversations.ts";
import type { OnRead } from "./reading/dataFile.ts";
import { threadsFor } from "./threadsFor.ts";

/** What is done of a phase: reading counts bytes; tokenizing rows, or bytes where the number of rows is not known; saving samples. */
export interface PrepareProgress {
  readonly phase: "reading" | "tokenizing" | "saving";
  readonly unit: "bytes" | "rows" | "samples";
  readonly done: number;
  readonly total: number;
}

export interface BuildOptions {
  readonly config: RunConfig;
  readonly files: TokenizerFiles;
  readonly data: readonly DataFile[];
  readonly evalData: readonly DataFile[] | undefined;
  /** What to hold out of the training files: a fraction, or from 1 on so many samples. */
  readonly split: number;
  readonly augmentation: Augmentation | undefined;
  /** The token file to make. */
  readonly path: string;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: PrepareProgress) => void;
}

/** Reads, tokenizes and saves a data set; its report is written before it. Throws as prepareDataset does. */
export async function buildTokenFile(job: BuildOptions): Promise<{ header: TokenFileHeader; report: DatasetReport }> {
  const { maxEvalSamples, maxTrainSamples, seed } = job.config;
  const setup = encoderSetup(job.config, job.files);
  const encoder = encoderFor(setup, [...job.data, ...(job.evalData ?? [])]);
  const writer = await TokenFileWriter.create(job.path, encoder.width);
  const building: Building = {
    job,
    setup,
    encoder,
    writer,
    counts: { rows: 0, truncated: 0, cutTokens: 0, tooLong: 0, unlabelled: 0, cut: 0 },
    parts: [],
    counter: new ReportCounter(),
    gaveSample: [],
  };
  try {
    await appendFiles(building, job.data, samplesNeeded(maxTrainSamples, job.split, maxEvalSamples));
    const heldOut = job.evalData === undefined ? holdOut(writer.samples, job.split, seed, maxEvalSamples) : [];
    if (job.augmentation) await appendVariants(building, job.augmentation, new Set(heldOut));
    const parts = [...building.parts];
    const training = writer.samples;
    if (job.evalData !== undefined) await appendFiles(building, job.evalData, maxEvalSamples);
    const evaluation =
      job.evalData === undefined
        ? heldOut
        : Array.from({ length: writer.samples - training }, (_, index) => training + index);
    job.onProgress({ phase: "saving", unit: "samples", done: 0, total: writer.samples });
    const report = building.counter.report(job.data.length + (job.evalData?.length ?? 0));
    await writeReport(job.path, report);
    const header = await writer.commit(evaluation, building.counts, parts);
    job.onProgress({ phase: "saving", unit: "samples", done: writer.samples, total: writer.samples });
    return { header, report };
  } finally {
    await writer.abandon();
  }
}

/** Where threads do all the work, the tokenizer of this one, tens of megabytes, is let go once it has been tried. */
function encoderFor(setup: EncoderSetup, files: readonly DataFile[]): Encoder {
  const { encode, width } = createEncoder(setup);
  if (files.some(({ state }) => threadsFor(state.size, setup.files.tokenizer.length) === 0)) return { encode, width };
  let later: Encoder | undefined;
  return {
    width,
    encode: (row) => {
      later ??= createEncoder(setup);
      return later.encode(row);
    },
  };
}

interface Building {
  readonly job: BuildOptions;
  readonly setup: EncoderSetup;
  readonly encoder: Encoder;
  readonly writer: TokenFileWriter;
  readonly counts: { -readonly [Name in keyof RowCounts]: RowCounts[Name] };
  /** Samples of each file so far. */
  readonly parts: number[];
  readonly counter: ReportCounter;
  /** Whether each row read of a file so far gave a sample; kept for those of which variants are made. */
  readonly gaveSample: boolean[][];
}

/** Appends the first samples of some files, `limit` at most. Throws DATA_INVALID where they give none. */
async function appendFiles(building: Building, files: readonly DataFile[], limit = Number.POSITIVE_INFINITY) {
  const { counts, job, writer } = building;
  const start = { ...counts, samples: writer.samples, badRows: building.counter.badRows };
  const total = files.reduce<number | undefined>((sum, { rows }) => addKnown(sum, rows), 0);
  const bytes = files.reduce((sum, { state }) => sum + state.size, 0);
  let read = 0;
  for (const file of files) {
    const missing = limit - (writer.samples - start.samples);
    const before = writer.samples;
    if (missing > 0) {
      const progress = {
        onRead: (more: number) => {
          read += more;
        },
        onRows: () =>
          job.onProgress(
            total === undefined
              ? { phase: "tokenizing", unit: "bytes", done: read, total: bytes }
              : { phase: "tokenizing", unit: "rows", done: counts.rows - start.rows, total },
          ),
      };
      await appendFile(building, file, missing, progress);
      if (file.kind === "parquet") read += file.state.size;
    }
    building.parts.push(writer.samples - before);
  }
  if (writer.samples > start.samples) return;
  const rows = counts.rows - start.rows;
  const what = files.length === 1 ? `The data set ${files[0]!.path}` : `The data set of ${files.length} files`;
  const bad = building.counter.badRows - start.badRows;
  throw new CoordError(
    "DATA_INVALID",
    rows === 0
      ? `${what} has no rows.`
      : `${what} has nothing to learn: of ${rows} rows, ${bad > 0 ? `${bad} cannot be read (the first: ${building.counter.firstProblem}), ` : ""}${counts.unlabelled - start.unlabelled} have no answer and ${counts.cut - start.cut + counts.tooLong - start.tooLong} have theirs beyond --max-length ${job.config.maxLength} tokens.`,
  );
}

interface FileProgress {
  readonly onRead: OnRead;
  readonly onRows: () => void;
}

async function appendFile(building: Building, file: DataFile, limit: number, progress: FileProgress): Promise<void> {
  const { counter, counts, encoder, job, setup, writer } = building;
  const wanted = writer.samples + limit;
  const gave: boolean[] = [];
  building.gaveSample.push(gave);
  const rows = readConversations(file, job.config, job.signal, progress.onRead);
  for await (const batch of encodeRows(
    rows,
    encoder,
    setup,
    threadsFor(file.state.size, setup.files.tokenizer.length),
    job.signal,
  )) {
    for (const { row, outcome } of batch) {
      counts.rows++;
      if (job.augmentation) gave.push(typeof outcome === "object" && "ids" in outcome);
      if (typeof outcome === "object" && "problem" in outcome) {
        counter.addBadRow(outcome.problem);
        continue;
      }
      if ("format" in row) counter.addRow(row.format);
      if (typeof outcome === "string") {
        counts[outcome]++;
        continue;
      }
      await appendSample(building, outcome);
      if (writer.samples === wanted) break;
    }
    progress.onRows();
    if (writer.samples === wanted) break;
  }
  await expectUnchanged(file);
}

async function appendSample({ counts, writer }: Building, { cutTokens, ids, mask }: EncodedSample): Promise<void> {
  if (cutTokens > 0) counts.truncated++;
  counts.cutTokens += cutTokens;
  await writer.append(ids, mask);
}

/**
 * Appends variants of the samples that are not held out: the files are read once more, because which ones those are is
 * known only now. A variant that gives no sample is left out, as its sample is there without it.
 */
async function appendVariants(building: Building, augmentation: Augmentation, heldOut: ReadonlySet<number>) {
  const { counter, encoder, gaveSample, job, setup, writer } = building;
  const bytes = job.data.reduce((sum, { state }) => sum + state.size, 0);
  let read = 0;
  let sample = 0;
  for (const [number, file] of job.data.entries()) {
    const gave = gaveSample[number] ?? [];
    const before = writer.samples;
    const onRead = (more: number) => {
      read += more;
    };
    const rows = readConversations(file, job.config, job.signal, onRead);
    const variants = augmentRows(rows, number, augmentation, (row) => {
      if (row >= gave.length) return undefined;
      return gave[row]! && !heldOut.has(sample++);
    });
    const threads = threadsFor(file.state.size * augmentation.variants, setup.files.tokenizer.length);
    for await (const batch of encodeRows(variants, encoder, setup, threads, job.signal)) {
      for (const { outcome } of batch) {
        if (typeof outcome === "string" || "problem" in outcome) continue;
        await appendSample(building, outcome);
        counter.addVariant();
      }
      job.onProgress({ phase: "tokenizing", unit: "bytes", done: read, total: bytes });
    }
    building.parts.push(writer.samples - before);
    await expectUnchanged(file);
  }
}

function addKnown(sum: number | undefined, more: number | undefined): number | undefined {
  return sum === undefined || more === undefined ? undefined : sum + more;
}
