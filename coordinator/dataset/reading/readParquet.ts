import { asyncBufferFromFile, type FileMetaData, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { CoordError } from "../../../shared/errors.ts";
import type { DataRow } from "./dataRow.ts";

/** Rows that are decoded at once: what a long row weighs must not add up to a whole row group. */
const batchRows = 1000;

/** The rows of a Parquet file, `line` being the number of the row; columns that are null are left out of a row. */
export async function* readParquet(path: string, signal: AbortSignal): AsyncGenerator<DataRow> {
  const { file, metadata } = await open(path);
  const rows = Number(metadata.num_rows);
  for (let rowStart = 0; rowStart < rows; rowStart += batchRows) {
    signal.throwIfAborted();
    const rowEnd = Math.min(rowStart + batchRows, rows);
    let batch: Record<string, unknown>[];
    try {
      batch = await parquetReadObjects({ file, metadata, rowStart, rowEnd, compressors });
    } catch (thrown) {
      throw damaged(`${path}, rows ${rowStart + 1} to ${rowEnd}`, thrown);
    }
    for (const [index, row] of batch.entries()) {
      const present = Object.entries(row).filter(([, value]) => value !== null && value !== undefined);
      yield { line: rowStart + index + 1, row: Object.fromEntries(present) };
    }
  }
}

/** The number of rows that a Parquet file has. Throws DATA_INVALID. */
export async function countParquetRows(path: string): Promise<number> {
  return Number((await open(path)).metadata.num_rows);
}

async function open(path: string): Promise<{ file: ParquetFile; metadata: FileMetaData }> {
  try {
    const file = await asyncBufferFromFile(path);
    return { file, metadata: await parquetMetadataAsync(file) };
  } catch (thrown) {
    throw damaged(path, thrown);
  }
}

type ParquetFile = Awaited<ReturnType<typeof asyncBufferFromFile>>;

function damaged(where: string, thrown: unknown): CoordError {
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new CoordError("DATA_INVALID", `${where}: this is not a Parquet file that can be read (${reason}).`, {
    cause: thrown,
  });
}
