import type { RunConfig } from "../../shared/config/schema.ts";
import { openTokenFile } from "../../shared/dataset/tokenFile.ts";
import { readTokenizerFiles } from "../../shared/dataset/tokenizer.ts";
import { randomKey } from "../../shared/rng.ts";
import { createEncoder, type EncoderInput, encoderSetup } from "../dataset/encoder.ts";
import { holdOut } from "../dataset/holdOut.ts";
import { findPrepared } from "../dataset/prepareDataset.ts";
import { readConversations } from "../dataset/readConversations.ts";
import { identifyFile } from "../dataset/reading/identifyFile.ts";
import { rowsOf } from "../dataset/trainingData.ts";
import { weighFiles } from "../dataset/weighFiles.ts";
import { type DataFacts, estimatePacked, estimateSamples, type RowSample, spreadLengths } from "./dataFacts.ts";
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
    const { evaluationSize, longest } = cached.summary;
    const tokens = await openTokenFile(cached.path);
    await tokens.close();
    const rows = rowsOf(tokens, cached.weights, config);
    const lengths = Array.from({ length: rows.size }, (_, row) => rows.lengthOf(row));
    const total = lengths.reduce((sum, length) => sum + length, 0);
    return {
      trainSize: rows.size,
      evaluationSize,
      longest: config.packing ? config.maxLength : longest,
      tokensPerSample: total / rows.size,
      lengths: spreadLengths(lengths),
      source: { kind: "cache" },
    };
  }
  const sampled = await sampleRows(config, data!, "--data", signal);
  const { samples, ...train } = estimateSamples(sampled);
  const facts = (count: number, evaluationSize: number): DataFacts => {
    const trainSize = Math.round(count * sampled.weight) * (1 + config.augment);
    const packed = config.packing ? estimatePacked(sampled.lengths, trainSize, config.maxLength) : {};
    return { ...train, trainSize, evaluationSize, ...packed };
  };
  if (evalData !== undefined) {
    const held = estimateSamples(await sampleRows(config, evalData, "--eval-data", signal)).samples;
    return facts(atMost(samples, maxTrainSamples), atMost(held, maxEvalSamples));
  }
  const evaluationSize = holdOut(samples, config.evalSplit, config.seed, maxEvalSamples).length;
  return facts(atMost(samples - evaluationSize, maxTrainSamples), evaluationSize);
}

async function sampleRows(
  config: RunConfig,
  inputs: readonly string[],
  flag: string,
  signal: AbortSignal,
): Promise<RowSample & { readonly weight: number }> {
  const reservoir = new Reservoir<EncoderInput>(sampledRows, randomKey("plan", config.seed));
  let weighted = 0;
  for (const [path, weight] of await weighFiles(inputs, flag === "--data" ? config.dataWeights : [], flag)) {
    const file = await identifyFile(path, signal);
    const before = reservoir.seen;
    for await (const row of readConversations(file, config, signal)) reservoir.offer(row);
    weighted += weight * (reservoir.seen - before);
  }
  const files = await readTokenizerFiles(config.model!);
  const encoder = createEncoder(encoderSetup(config, files));
  const outcomes = reservoir.items.map((row) => encoder.encode(row));
  const lengths = outcomes.flatMap((outcome) =>
    typeof outcome === "object" && "ids" in outcome ? [outcome.ids.length] : [],
  );
  const weight = weighted / Math.max(1, reservoir.seen);
  return { rows: reservoir.seen, lengths, dropped: outcomes.length - lengths.length, weight };
}

function atMost(size: number, limit = Number.POSITIVE_INFINITY): number {
  return Math.min(size, limit);
}
