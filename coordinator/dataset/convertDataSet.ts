import { open, rename, rm } from "node:fs/promises";
import { resolve } from "node:path";
import type { RunConfig } from "../../shared/config/schema.ts";
import { RowProblem } from "../../shared/dataset/formats/rowFormat.ts";
import { writeRow } from "../../shared/dataset/formats/writeRow.ts";
import { CoordError } from "../../shared/errors.ts";
import { fileError } from "../../shared/process/atomicFile.ts";
import type { EncoderInput } from "./encoder.ts";
import { readConversations } from "./readConversations.ts";
import { findDataFiles } from "./reading/findDataFiles.ts";
import { identifyFile } from "./reading/identifyFile.ts";

export interface ConvertOptions {
  readonly inputs: readonly string[];
  /** Name of the format to write. */
  readonly to: string;
  /** A file that is not there yet: JSON Lines, or one array where its name ends in .json. */
  readonly output: string;
  readonly config: Pick<RunConfig, "columns" | "format" | "skipBadRows">;
  readonly signal: AbortSignal;
}

export interface Conversion {
  readonly output: string;
  readonly rows: number;
  readonly skipped: number;
  /** Why the first skipped row was. */
  readonly firstProblem: string | undefined;
}

const flushCharacters = 1024 * 1024;

/**
 * Writes a data set in another format. The output appears whole or not at all. Throws DATA_INVALID at the first row that
 * cannot be read or written, unless those are to be skipped, and CONFIG_INVALID where the output is there already.
 */
export async function convertDataSet(options: ConvertOptions): Promise<Conversion> {
  const output = resolve(options.output);
  const [opening, between, closing] = /\.json$/i.test(output) ? ["[\n", ",\n", "\n]\n"] : ["", "\n", "\n"];
  const temporary = `${output}.${process.pid}.part`;
  const file = await open(temporary, "wx").catch((thrown: unknown) => {
    throw fileError(thrown, "write", temporary);
  });
  let rows = 0;
  let skipped = 0;
  let firstProblem: string | undefined;
  let text = opening;
  try {
    await refuseExisting(output);
    for await (const line of convertedRows(options)) {
      if (typeof line !== "string") {
        skipped++;
        firstProblem ??= line.problem;
        continue;
      }
      text += rows++ === 0 ? line : between + line;
      if (text.length < flushCharacters) continue;
      await file.write(text);
      text = "";
    }
    if (rows === 0) throw new CoordError("DATA_INVALID", firstProblem ?? "The data set has no rows.");
    await file.write(text + closing);
    await file.sync();
    await rename(temporary, output);
  } catch (thrown) {
    options.signal.throwIfAborted();
    throw thrown instanceof CoordError ? thrown : fileError(thrown, "write", output);
  } finally {
    await file.close();
    await rm(temporary, { force: true });
  }
  return { output, rows, skipped, firstProblem };
}

async function refuseExisting(path: string): Promise<void> {
  const existing = await open(path, "r").catch(() => undefined);
  if (existing === undefined) return;
  await existing.close();
  throw new CoordError("CONFIG_INVALID", `--output ${path} is there already; name a new file, or remove it.`);
}

async function* convertedRows({ inputs, to, config, signal }: ConvertOptions) {
  for (const path of await findDataFiles(inputs, "FILE")) {
    const file = await identifyFile(path, signal);
    for await (const row of readConversations(file, config, signal)) {
      const written = convertRow(row, to);
      if (typeof written !== "string" && !config.skipBadRows) throw new CoordError("DATA_INVALID", written.problem);
      yield written;
    }
  }
}

function convertRow(row: EncoderInput, format: string): string | { problem: string } {
  if ("problem" in row) return { problem: row.problem };
  try {
    return JSON.stringify(writeRow(row.conversation, format));
  } catch (thrown) {
    if (thrown instanceof RowProblem) return { problem: `${row.where}: the row ${thrown.message}.` };
    throw thrown;
  }
}
