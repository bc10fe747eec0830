import { createHash } from "node:crypto";
import type { RunConfig } from "../../../shared/config/schema.ts";
import { type Conversation, callsTools } from "../../../shared/dataset/conversation.ts";
import { type EncodedSample, fitSample } from "../../../shared/dataset/encodeSample.ts";
import { tokenFileBytes } from "../../../shared/dataset/tokenFileFormat.ts";
import { createTokenizer, readTokenizerFiles, type TextTokenizer } from "../../../shared/dataset/tokenizer.ts";
import { CoordError } from "../../../shared/errors.ts";
import { ReportCounter } from "../datasetReport.ts";
import { encodeRows } from "../encodeRows.ts";
import { createEncoder, encoderSetup, type Outcome } from "../encoder.ts";
import { readConversations } from "../readConversations.ts";
import { inspectDataFile } from "../reading/dataFile.ts";
import { findDataFiles } from "../reading/findDataFiles.ts";
import { identifyFile } from "../reading/identifyFile.ts";
import { threadsFor } from "../threadsFor.ts";
import { type LengthFigures, lengthFigures } from "./lengthFigures.ts";

/** Rows that cannot be read, of which this many are named. */
const namedProblems = 20;
const shownExamples = 3;

export interface Inspection {
  readonly files: readonly { readonly path: string; readonly kind: string; readonly bytes: number }[];
  readonly rows: number;
  readonly formats: Readonly<Record<string, number>>;
  /** Rows that would fail: all of them, and the first ones by place. */
  readonly badRows: number;
  readonly problems: readonly string[];
  /** Rows that say the same as an earlier one. */
  readonly duplicates: number;
  /** Rows with an answer, or text, that is blank. */
  readonly emptyAnswers: number;
  /** Rows without anything to learn, and those whose answers lie wholly beyond the maximum length. */
  readonly unlabelled: number;
  readonly cut: number;
  readonly samples: number;
  readonly truncated: number;
  /** Tokens cut away from those. */
  readonly cutTokens: number;
  /** Rows dropped because they are longer than the maximum length (--long-samples drop). */
  readonly tooLong: number;
  readonly maxLength: number;
  /** Tokens of the samples, and those that are learned, after truncation. */
  readonly tokens: number;
  readonly labelTokens: number;
  /** Lengths in tokens before truncation. */
  readonly lengths: LengthFigures;
  readonly examples: readonly InspectedExample[];
  /** The token file that a run would make: its size, and the seconds that making the samples took here. */
  readonly cache: { readonly bytes: number; readonly seconds: number };
}

/** A sample as the model sees it, in pieces that are learned or not. */
export interface InspectedExample {
  readonly where: string;
  readonly tokens: number;
  readonly labelTokens: number;
  readonly pieces: readonly { readonly text: string; readonly learned: boolean }[];
}

/** What inspecting needs of the settings. */
export type InspectConfig = Pick<
  RunConfig,
  "chatTemplate" | "columns" | "format" | "longSamples" | "maxLength" | "trainOnInputs" | "truncationSide"
>;

/** Reads and tokenizes a data set as a run would, without writing anything. Throws as data preparation does. */
export async function inspectDataSet(
  inputs: readonly string[],
  modelDirectory: string,
  config: InspectConfig,
  signal: AbortSignal,
): Promise<Inspection> {
  const started = performance.now();
  const paths = await findDataFiles(inputs);
  const files = await readTokenizerFiles(modelDirectory);
  // Nothing is cut while encoding, so that the lengths are those before it.
  const setup = encoderSetup({ ...config, maxLength: Number.MAX_SAFE_INTEGER, skipBadRows: true }, files);
  const encoder = createEncoder(setup);
  const tokenizer = createTokenizer(files);
  const counter = new ReportCounter(namedProblems);
  const seen = new Set<string>();
  const lengths: number[] = [];
  const examples: InspectedExample[] = [];
  const figures = { rows: 0, duplicates: 0, emptyAnswers: 0, unlabelled: 0, cut: 0, tooLong: 0, samples: 0 };
  const totals = { truncated: 0, cutTokens: 0, tokens: 0, labelTokens: 0, sampleBytes: 0 };
  const found: Inspection["files"][number][] = [];

  for (const path of paths) {
    const { size } = await inspectDataFile(path);
    const file = await identifyFile(path, signal);
    found.push({ path, kind: file.kind, bytes: size });
    const rows = readConversations(file, { ...config, skipBadRows: true }, signal);
    for await (const batch of encodeRows(rows, encoder, setup, threadsFor(size, files.tokenizer.length), signal)) {
      for (const { row, outcome } of batch) {
        figures.rows++;
        if ("problem" in row) {
          counter.addBadRow(row.problem);
          continue;
        }
        const identity = hashOf(row.conversation);
        if (seen.has(identity)) figures.duplicates++;
        seen.add(identity);
        if (hasEmptyAnswer(row.conversation)) figures.emptyAnswers++;
        if (typeof outcome === "object" && "problem" in outcome) {
          counter.addBadRow(outcome.problem);
          continue;
        }
        counter.addRow(row.format);
        if (typeof outcome === "string") {
          figures[outcome]++;
          continue;
        }
        lengths.push(outcome.ids.length);
        const sample = cutAsRunsDo(outcome, config, row.where);
        if (typeof sample === "object" && "problem" in sample) {
          counter.addBadRow(sample.problem);
          continue;
        }
        if (typeof sample === "string") {
          figures[sample]++;
          continue;
        }
        figures.samples++;
        if (sample.cutTokens > 0) totals.truncated++;
        totals.cutTokens += sample.cutTokens;
        const labelTokens = sample.mask.reduce((sum, bit) => sum + bit, 0);
        totals.tokens += sample.ids.length;
        totals.labelTokens += labelTokens;
        totals.sampleBytes += tokenFileBytes.sample(sample.ids.length, encoder.width);
        if (examples.length < shownExamples) {
          const pieces = piecesOf(sample, tokenizer);
          examples.push({ where: row.where, tokens: sample.ids.length, labelTokens, pieces });
        }
      }
    }
  }
  const { formats, badRows, problems } = counter.report(found.length);
  return {
    files: found,
    formats,
    badRows,
    problems,
    ...figures,
    maxLength: config.maxLength,
    truncated: totals.truncated,
    cutTokens: totals.cutTokens,
    tokens: totals.tokens,
    labelTokens: totals.labelTokens,
    lengths: lengthFigures(lengths, config.maxLength),
    examples,
    cache: {
      bytes: totals.sampleBytes + tokenFileBytes.around(figures.samples),
      seconds: (performance.now() - started) / 1000,
    },
  };
}

/** Cuts a sample as a run would; that it is too long may be why a row fails. */
function cutAsRunsDo(sample: EncodedSample, config: InspectConfig, where: string): Outcome {
  try {
    return fitSample(sample, config, where);
  } catch (thrown) {
    if (thrown instanceof CoordError && thrown.code === "DATA_INVALID") return { problem: thrown.message };
    throw thrown;
  }
}

function hashOf(conversation: Conversation): string {
  return createHash("sha256").update(JSON.stringify(conversation)).digest("base64").slice(0, 16);
}

function hasEmptyAnswer(conversation: Conversation): boolean {
  if ("text" in conversation) return conversation.text.trim() === "";
  return conversation.messages.some(
    (message) => message.role === "assistant" && message.content.trim() === "" && !callsTools(message),
  );
}

function piecesOf(
  { ids, mask }: { ids: Uint32Array; mask: Uint8Array },
  tokenizer: TextTokenizer,
): InspectedExample["pieces"] {
  const pieces: { text: string; learned: boolean }[] = [];
  for (let start = 0; start < ids.length; ) {
    let end = start + 1;
    while (end < ids.length && mask[end] === mask[start]) end++;
    pieces.push({ text: tokenizer.decode([...ids.subarray(start, end)]), learned: mask[start] === 1 });
    start = end;
  }
  return pieces;
}
