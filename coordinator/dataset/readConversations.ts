import type { RunConfig } from "../../shared/config/schema.ts";
import { mapColumns } from "../../shared/dataset/columns.ts";
import { readRow } from "../../shared/dataset/formats/readRow.ts";
import { CoordError } from "../../shared/errors.ts";
import type { EncoderInput } from "./encoder.ts";
import type { OnRead } from "./reading/dataFile.ts";
import { placeOf, type ReadableFile, readDataSet } from "./reading/readDataSet.ts";

/**
 * Reads the rows of a file as conversations. A text file's paragraphs are plain text whatever --format says. Throws
 * DATA_INVALID at the first row that cannot be read, unless those are to be skipped: then it is given with its problem.
 */
export async function* readConversations(
  file: ReadableFile,
  config: Pick<RunConfig, "format" | "columns" | "skipBadRows">,
  signal: AbortSignal,
  onRead?: OnRead,
): AsyncGenerator<EncoderInput> {
  const format = file.kind === "text" ? "text" : config.format;
  const rename = mapColumns(config.columns);
  for await (const found of readDataSet(file, signal, onRead)) {
    const where = placeOf(file, found.line);
    try {
      if ("problem" in found) throw found.problem;
      yield { where, ...readRow(rename(found.row), format, where) };
    } catch (thrown) {
      const skips = config.skipBadRows && thrown instanceof CoordError && thrown.code === "DATA_INVALID";
      if (!skips) throw thrown;
      yield { where, problem: thrown.message };
    }
  }
}
