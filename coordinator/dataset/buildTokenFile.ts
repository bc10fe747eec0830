import { availableParallelism } from "node:os";
import type { RunConfig } from "../../shared/config/schema.ts";
import { readRow } from "../../shared/dataset/formats/readRow.ts";
import type { TokenFileHeader } from "../../shared/dataset/tokenFileFormat.ts";
import { TokenFileWriter } from "../../shared/dataset/tokenFileWriter.ts";
import type { TokenizerFiles } from "../../shared/dataset/tokenizer.ts";
import { CoordError } from "../../shared/errors.ts";
import { encodeRows } from "./encodeRows.ts";
import { createEncoder, type Encoder, type EncoderInput, type EncoderSetup } from "./encoder.ts";
import { type DataFile, expectUnchanged } from "./fingerprint.ts";
import { holdOut } from "./holdOut.ts";
import { isPlainText, readDataSet } from "./reading/readDataSet.ts";

/** Reading counts bytes; tokenizing counts rows, whose total is not known for a JSON array; saving counts samples. */
export interface PrepareProgress {
  readonly phase: "reading" | "tokenizing" | "saving";
  readonly done: number;
  readonly total?: number;
}

export interface BuildOptions {
  readonly config: RunConfig;
  readonly files: TokenizerFiles;
  readonly data: DataFile;
  readonly evalData: DataFile | undefined;
  /** Fraction of the training file to hold out. */
  readonly split: number;
  /** The token file to make. */
  readonly path: string;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: PrepareProgress) => void;
}

/** Reads, tokenizes and saves a data set. Throws as prepareDataset does. */
export async function buildTokenFile(job: BuildOptions): Promise<TokenFileHeader> {
  const { chatTemplate, maxLength, trainOnInputs } = job.config;
  const setup = { files: job.files, chatTemplate, maxLength, trainOnInputs };
  const encoder = createEncoder(setup);
  const writer = await TokenFileWriter.create(job.path, encoder.width);
  try {
    const counts = { rows: 0, truncated: 0, unlabelled: 0, cut: 0 };
    await appendFile(job, job.data, setup, encoder, writer, counts);
    const fromData = writer.samples;
    if (job.evalData !== undefined) await appendFile(job, job.evalData, setup, encoder, writer, counts);
    const evaluation =
      job.evalData === undefined
        ? holdOut(fromData, job.split, job.config.seed)
        : Array.from({ length: writer.samples - fromData }, (_, index) => fromData + index);
    job.onProgress({ phase: "saving", done: 0, total: writer.samples });
    const header = await writer.commit(evaluation, counts);
    job.onProgress({ phase: "saving", done: writer.samples, total: writer.samples });
    return header;
  } finally {
    await writer.abandon();
  }
}

type Counts = { rows: number; truncated: number; unlabelled: number; cut: number };

/** Appends the samples of one file. Throws DATA_INVALID where it gives none. */
async function appendFile(
  job: BuildOptions,
  file: DataFile,
  setup: EncoderSetup,
  encoder: Encoder,
  writer: TokenFileWriter,
  counts: Counts,
): Promise<void> {
  const before = { ...counts, samples: writer.samples };
  const rows = readConversations(file.path, job.config.format, job.signal);
  // A few thousand rows take less time than threads need to start; each thread holds a tokenizer, up to 200 MB of it.
  const threads = file.state.size < 4 * 1024 * 1024 ? 0 : Math.min(availableParallelism(), 8);
  for await (const outcomes of encodeRows(rows, encoder, setup, threads > 1 ? threads : 0, job.signal)) {
    for (const outcome of outcomes) {
      counts.rows++;
      if (typeof outcome === "string") counts[outcome]++;
      else {
        if (outcome.truncated) counts.truncated++;
        await writer.append(outcome.ids, outcome.mask);
      }
    }
    const done = counts.rows - before.rows;
    job.onProgress({ phase: "tokenizing", done, ...(file.lines !== undefined && { total: file.lines }) });
  }
  await expectUnchanged(file);
  if (writer.samples > before.samples) return;
  const rowsRead = counts.rows - before.rows;
  throw new CoordError(
    "DATA_INVALID",
    rowsRead === 0
      ? `The data set ${file.path} has no rows.`
      : `The data set ${file.path} has nothing to learn: of ${rowsRead} rows, ${counts.unlabelled - before.unlabelled} have no answer and ${counts.cut - before.cut} have theirs beyond --max-length ${job.config.maxLength} tokens.`,
  );
}

async function* readConversations(path: string, format: string, signal: AbortSignal): AsyncGenerator<EncoderInput> {
  for await (const { line, row } of readDataSet(path, signal)) {
    const where = `${path}, line ${line}`;
    yield { conversation: readRow(row, isPlainText(path) ? "text" : format, where), where };
  }
}
