import type { RunConfig } from "../../shared/config/schema.ts";
import { readTokenizerFiles } from "../../shared/dataset/tokenizer.ts";
import { CoordError } from "../../shared/errors.ts";
import { createEncoder, type Encoder, encoderSetup } from "../dataset/encoder.ts";
import { readConversations } from "../dataset/readConversations.ts";
import { inspectDataFile } from "../dataset/reading/dataFile.ts";
import { findDataFiles } from "../dataset/reading/findDataFiles.ts";
import { identifyFile } from "../dataset/reading/identifyFile.ts";

/** Rows that are read; most mistakes are in all rows, and the others are found when the data set is prepared. */
const rowsRead = 200;

/**
 * Reads the first rows of the data sets and tokenizes one, as preparing them would. Throws DATA_INVALID,
 * TEMPLATE_INVALID or MODEL_INVALID.
 */
export async function checkData(config: RunConfig, signal: AbortSignal): Promise<void> {
  const { data, evalData } = config;
  const files = await findDataFiles(data!, "--data");
  const evalFiles = evalData === undefined ? [] : await findDataFiles(evalData, "--eval-data");
  for (const path of [...files, ...evalFiles]) await inspectDataFile(path);
  const tokenizer = await readTokenizerFiles(config.model!);
  const encoder = createEncoder(encoderSetup(config, tokenizer));
  await readFirstRows(files, config, encoder, config.maxTrainSamples, signal);
  if (evalFiles.length > 0) await readFirstRows(evalFiles, config, encoder, config.maxEvalSamples, signal);
}

async function readFirstRows(
  files: readonly string[],
  config: RunConfig,
  encoder: Encoder,
  wanted: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  const limit = Math.min(rowsRead, wanted ?? rowsRead);
  let rows = 0;
  for (const path of files) {
    for await (const row of readConversations(await identifyFile(path, signal), config, signal)) {
      if (rows === 0) encoder.encode(row);
      rows++;
      if (rows === limit) return;
    }
  }
  const what = files.length === 1 ? `The data set ${files[0]}` : `The data set of ${files.length} files`;
  if (rows === 0) throw new CoordError("DATA_INVALID", `${what} has no rows.`);
}
