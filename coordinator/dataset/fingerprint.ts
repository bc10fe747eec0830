import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { CoordError } from "../../shared/errors.ts";
import { type DataFileState, inspectDataFile, unreadable } from "./reading/dataFile.ts";
import { isGzip } from "./reading/dataKind.ts";
import { identifyFile } from "./reading/identifyFile.ts";
import type { ReadableFile } from "./reading/readDataSet.ts";
import { countParquetRows } from "./reading/readParquet.ts";

/** A data file that has been read once to learn what is in it. */
export interface DataFile extends ReadableFile {
  readonly state: DataFileState;
  readonly sha256: string;
  /** About how many rows it has; undefined where that is not known before they are read. */
  readonly rows: number | undefined;
}

/** Hashes a data file. Throws DATA_INVALID where it is missing, empty, a directory or unreadable. */
export async function fingerprint(
  path: string,
  signal: AbortSignal,
  onProgress: (doneBytes: number, totalBytes: number) => void,
): Promise<DataFile> {
  const state = await inspectDataFile(path);
  const readable = await identifyFile(path, signal);
  const { kind, array } = readable;
  const hash = createHash("sha256");
  let done = 0;
  let lines = 0;
  let last = newline;
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024, signal }) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, at + 1)) lines++;
      done += chunk.length;
      last = chunk[chunk.length - 1]!;
      onProgress(done, state.size);
    }
  } catch (thrown) {
    signal.throwIfAborted();
    throw unreadable(path, thrown);
  }
  const isLines = kind === "json" && !array && !(await isGzip(path));
  const rows =
    kind === "parquet" ? await countParquetRows(path) : isLines ? lines + (last === newline ? 0 : 1) : undefined;
  return { ...readable, state, sha256: hash.digest("hex"), rows };
}

const newline = 0x0a;

/** Throws DATA_INVALID when the file is no longer the one that was fingerprinted. */
export async function expectUnchanged(file: DataFile): Promise<void> {
  const state = await inspectDataFile(file.path);
  if (state.size !== file.state.size || state.modifiedMs !== file.state.modifiedMs) {
    throw new CoordError("DATA_INVALID", `The data set ${file.path} changed while it was read; start again.`);
  }
}
