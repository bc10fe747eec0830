import { mkdir, readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { RunConfig } from "../../shared/config/schema.ts";
import { openTokenFile, TokenFileDamaged } from "../../shared/dataset/tokenFile.ts";
import type { TokenCounts, TokenFileHeader } from "../../shared/dataset/tokenFileFormat.ts";
import { readTokenizerFiles } from "../../shared/dataset/tokenizer.ts";
import { errorCode, fileError } from "../../shared/process/atomicFile.ts";
import { waitForLock } from "../../shared/process/waitForLock.ts";
import { readAugmentation } from "./augmentation.ts";
import { buildTokenFile, type PrepareProgress } from "./buildTokenFile.ts";
import { cacheKey } from "./cacheKey.ts";
import { type DatasetReport, readReport } from "./datasetReport.ts";
import { describePrepared } from "./describePrepared.ts";
import { type DataFile, fingerprint } from "./fingerprint.ts";
import { inspectDataFile } from "./reading/dataFile.ts";
import { findDataFiles } from "./reading/findDataFiles.ts";
import { weighFiles } from "./weighFiles.ts";

export interface PrepareOptions {
  readonly config: RunConfig;
  /** Directory with the tokenizer's files. */
  readonly modelDirectory: string;
  /** Files, globs and directories. */
  readonly data: readonly string[];
  readonly evalData?: readonly string[];
  readonly cacheDirectory: string;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: PrepareProgress) => void;
}

export interface PreparedDataset {
  /** The token file. */
  readonly path: string;
  readonly contentKey: string;
  /** How often an epoch reads each training file, in their order. */
  readonly weights: readonly number[];
  /** True when the token file was there already. */
  readonly hit: boolean;
  /** One sentence: hit or miss, and why. */
  readonly reason: string;
  /** What was found and made, then the reason: the line for people. */
  readonly message: string;
  readonly summary: DatasetSummary;
}

export interface DatasetSummary extends TokenCounts, DatasetReport {
  /** Rows that gave no sample: nothing to learn, all of it cut away, or too long. */
  readonly dropped: number;
  /** Tokens of all samples. */
  readonly tokens: number;
}

/**
 * Makes the token file of a data set, or finds the one that was made of the same inputs before. Throws DATA_INVALID,
 * TEMPLATE_INVALID, MODEL_INVALID or STORAGE_FAILED, and the signal's reason when it is aborted.
 */
export async function prepareDataset(options: PrepareOptions): Promise<PreparedDataset> {
  const { config, signal, onProgress } = options;
  const { augmentation, data, evalData, files, path, split, weights } = await identify(options);
  await makeCacheDirectory(options.cacheDirectory);

  const prepared = (hit: boolean, { header, report }: Identified, reason: string): PreparedDataset => {
    const summary = summarize(header.counts, report);
    const message = `${describePrepared(summary, config.maxLength)} ${reason}`;
    return { path, contentKey: header.contentKey, weights, hit, reason, message, summary };
  };
  const found = await lookUp(path, signal);
  if (found.identified) return prepared(true, found.identified, found.reason);
  // Ten launches at once do the work once: whoever waits for the lock finds the file afterwards.
  const lock = await waitForLock(`${path}.lock`, "tokens", signal);
  try {
    const again = await lookUp(path, signal);
    if (again.identified) return prepared(true, again.identified, "Another run made these samples at the same time.");
    await removeLeftovers(path);
    const built = await buildTokenFile({
      config,
      files,
      data,
      evalData,
      split,
      augmentation,
      path,
      signal,
      onProgress,
    });
    return prepared(false, built, found.reason);
  } finally {
    await lock.release();
  }
}

/** The samples of a data set where the token cache has them; undefined where they would have to be made. */
export async function findPrepared(
  options: PrepareOptions,
): Promise<Pick<PreparedDataset, "path" | "weights" | "summary"> | undefined> {
  const { path, weights } = await identify(options);
  const { identified } = await lookUp(path, options.signal);
  return identified && { path, weights, summary: summarize(identified.header.counts, identified.report) };
}

/** Hashes every input that shapes the token file, which names it. */
async function identify(options: PrepareOptions) {
  const { config } = options;
  const files = await readTokenizerFiles(options.modelDirectory);
  const named = await weighFiles(options.data, config.dataWeights);
  const data = await readFiles([...named.keys()], options);
  const evalData = options.evalData && (await readFiles(await findDataFiles(options.evalData, "--eval-data"), options));
  const split = evalData === undefined && config.evalSplit > 0 ? config.evalSplit : 0;
  const augmentation = await readAugmentation(config);
  const key = cacheKey({
    data: data.map(({ sha256, kind }) => ({ sha256, kind })),
    evalData: evalData?.map(({ sha256, kind }) => ({ sha256, kind })),
    files,
    format: config.format,
    columns: config.columns,
    skipBadRows: config.skipBadRows,
    maxTrainSamples: config.maxTrainSamples,
    maxEvalSamples: config.maxEvalSamples,
    chatTemplate: config.chatTemplate,
    maxLength: config.maxLength,
    longSamples: config.longSamples,
    truncationSide: config.truncationSide,
    trainOnInputs: config.trainOnInputs,
    augmentation: augmentation?.inputs,
    holdOut: split > 0 ? { fraction: split, seed: config.seed } : undefined,
  });
  const weights = [...named.values()];
  return {
    augmentation,
    data,
    evalData,
    files,
    split,
    // A file's variants are a part of their own behind all files, and weigh what the file does.
    weights: augmentation ? [...weights, ...weights] : weights,
    path: join(options.cacheDirectory, `${key}.tokens`),
  };
}

/** Reads files once to learn what is in them; progress counts the bytes of all. */
async function readFiles(paths: readonly string[], { signal, onProgress }: PrepareOptions): Promise<DataFile[]> {
  const sizes = await Promise.all(paths.map(async (path) => (await inspectDataFile(path)).size));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  let before = 0;
  const files: DataFile[] = [];
  for (const [index, path] of paths.entries()) {
    files.push(
      await fingerprint(path, signal, (done) =>
        onProgress({ phase: "reading", unit: "bytes", done: before + done, total }),
      ),
    );
    before += sizes[index]!;
  }
  return files;
}

/** What a token file holds. */
interface Identified {
  readonly header: TokenFileHeader;
  readonly report: DatasetReport;
}

/** Removes what a killed process left of this token file. Only the holder of the lock may: nobody else is writing. */
async function removeLeftovers(path: string): Promise<void> {
  for (const name of await readdir(dirname(path))) {
    if (name.startsWith(`${basename(path)}.`) && name.endsWith(".part")) await rm(join(dirname(path), name));
  }
}

interface LookUp {
  /** Undefined for a miss. */
  readonly identified?: Identified;
  readonly reason: string;
}

/** Reads the whole file once, so that a damaged one is made again now rather than found out in the middle of training. */
async function lookUp(path: string, signal: AbortSignal): Promise<LookUp> {
  try {
    const file = await openTokenFile(path);
    try {
      await file.verify(signal);
      const report = await readReport(path);
      if (report === undefined) {
        return { reason: "The samples are made again, because the token cache has lost its report on them." };
      }
      const reason = "The token cache has these samples: data set, tokenizer, template and options are unchanged.";
      return { identified: { header: file.header, report }, reason };
    } finally {
      await file.close();
    }
  } catch (thrown) {
    if (errorCode(thrown) === "ENOENT") {
      return { reason: "The token cache has nothing yet for this data set, tokenizer, template and options." };
    }
    if (thrown instanceof TokenFileDamaged) {
      return { reason: `The samples are made again, because the token cache was damaged: ${thrown.reason}.` };
    }
    throw thrown;
  }
}

async function makeCacheDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
  } catch (thrown) {
    throw fileError(thrown, "create", directory);
  }
}

function summarize(counts: TokenCounts, report: DatasetReport): DatasetSummary {
  return {
    ...counts,
    ...report,
    dropped: counts.unlabelled + counts.cut + counts.tooLong,
    tokens: counts.trainTokens + counts.evaluationTokens,
  };
}
