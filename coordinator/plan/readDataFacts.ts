import type { RunConfig } from "../../shared/config/schema.ts";
import { readTokenizerFiles } from "../../shared/dataset/tokenizer.ts";
import { randomKey } from "../../shared/rng.ts";
import { createEncoder, type EncoderInput } from "../dataset/encoder.ts";
import { holdOut } from "../dataset/holdOut.ts";
import { findPrepared } from "../dataset/prepareDataset.ts";
import { readConversations } from "../dataset/readConversations.ts";
import { findDataFiles } from "../dataset/reading/findDataFiles.ts";
import { identifyFile } from "../dataset/reading/identifyFile.ts";
import { type DataFacts, estimateSamples, type RowSample } from "./dataFacts.ts";
import { Reservoir } from "./reservoir.ts";

/** Rows that are tokenized to learn how long they are: their mean is then known to a few percent. */
const sampledRows = 500;

/**
 * What a run's data set holds: from the token cache, or else by counting its rows and tokenizing some of them. Writes
 * nothing. Throws as data preparation does.
 */
export async function readDataFacts(
  config: RunConfig,
  cacheDirectory: string,
  signal: AbortSignal,
): Promise<DataFacts> {
  const { data, evalData, maxEvalSamples, maxTrainSamples } = config;
  const cached = await findPrepared({
    config,
    modelDirectory: config.model!,
    data: data!,
    ...(evalData && { evalData }),
    cacheDirectory,
    signal,
    onProgress: () => {},
  });
  if (cached) {
    const { evaluationSize, longest, trainSize, trainTokens } = cached;
    const tokensPerSample = trainTokens / trainSize;
    return { trainSize, evaluationSize, longest, tokensPerSample, source: { kind: "cache" } };
  }
  const { samples, ...train } = estimateSamples(await sampleRows(config, data!, "--data", signal));
  if (evalData !== undefined) {
    const held = estimateSamples(await sampleRows(config, evalData, "--eval-data", signal)).samples;
    return {
      ...train,
      trainSize: atMost(samples, maxTrainSamples),
      evaluationSize: atMost(held, maxEvalSamples),
    };
  }
  const evaluationSize = holdOut(samples, config.evalSplit, config.seed, maxEvalSamples).length;
  return { ...train, trainSize: atMost(samples - evaluationSize, maxTrainSamples), evaluationSize };
}

async function sampleRows(
  config: RunConfig,
  inputs: readonly string[],
  flag: string,
  signal: AbortSignal,
): Promise<RowSample> {
  const reservoir = new Reservoir<EncoderInput>(sampledRows, randomKey("plan", config.seed));
  for (const path of await findDataFiles(inputs, flag)) {
    const file = await identifyFile(path, signal);
    for await (const row of readConversations(file, config, signal)) reservoir.offer(row);
  }
  const { chatTemplate, maxLength, skipBadRows, trainOnInputs } = config;
  const files = await readTokenizerFiles(config.model!);
  const encoder = createEncoder({ files, chatTemplate, maxLength, trainOnInputs, skipBadRows });
  const outcomes = reservoir.items.map((row) => encoder.encode(row));
  const lengths = outcomes.flatMap((outcome) =>
    typeof outcome === "object" && "ids" in outcome ? [outcome.ids.length] : [],
  );
  return { rows: reservoir.seen, lengths, dropped: outcomes.length - lengths.length };
}

function atMost(size: number, limit = Number.POSITIVE_INFINITY): number {
  return Math.min(size, limit);
}
