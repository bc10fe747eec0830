import type { RunConfig } from "../../shared/config/schema.ts";
import { compileChatTemplate, findChatTemplate } from "../../shared/dataset/chatTemplate.ts";
import type { Conversation } from "../../shared/dataset/conversation.ts";
import { type Dropped, type EncodedSample, encodeSample } from "../../shared/dataset/encodeSample.ts";
import { createTokenizer, type TokenizerFiles } from "../../shared/dataset/tokenizer.ts";
import { CoordError } from "../../shared/errors.ts";

/** The settings that encoding depends on; `skipBadRows` answers a row on which the template fails with the reason. */
type EncoderSettings = Pick<
  RunConfig,
  "chatTemplate" | "maxLength" | "longSamples" | "truncationSide" | "trainOnInputs" | "skipBadRows"
>;

/** All that turning rows into tokens depends on; it can be sent to a thread. */
export interface EncoderSetup extends EncoderSettings {
  readonly files: TokenizerFiles;
}

export function encoderSetup(config: EncoderSettings, files: TokenizerFiles): EncoderSetup {
  const { chatTemplate, longSamples, maxLength, skipBadRows, trainOnInputs, truncationSide } = config;
  return { chatTemplate, longSamples, maxLength, skipBadRows, trainOnInputs, truncationSide, files };
}

/** A row that has been read, or why it cannot be; `where` is "FILE, line N" for messages. */
export type EncoderInput =
  | { readonly where: string; readonly format: string; readonly conversation: Conversation }
  | ({ readonly where: string } & FailedRow);

/** A row that gives no sample because it cannot be read, or because the template fails on it. */
export interface FailedRow {
  readonly problem: string;
}

export type Outcome = EncodedSample | Dropped | FailedRow;

export interface Encoder {
  encode(input: EncoderInput): Outcome;
  /** Bytes that each token id of this tokenizer needs. */
  readonly width: 2 | 4;
}

/** Builds tokenizer and template, which takes up to a second for a large vocabulary. Throws MODEL_INVALID, TEMPLATE_INVALID. */
export function createEncoder(setup: EncoderSetup): Encoder {
  const tokenizer = createTokenizer(setup.files);
  const source = findChatTemplate(setup.chatTemplate, setup.files, tokenizer);
  const options = {
    tokenizer,
    render: source === undefined ? undefined : compileChatTemplate(source, tokenizer),
    templateOrigin: source?.origin ?? "",
    maxLength: setup.maxLength,
    longSamples: setup.longSamples,
    truncationSide: setup.truncationSide,
    trainOnInputs: setup.trainOnInputs,
  };
  const encode = (row: EncoderInput): Outcome =>
    "problem" in row ? { problem: row.problem } : encodeSample(row.conversation, options, row.where);
  return {
    encode: setup.skipBadRows && source !== undefined ? skippingFailures(encode) : encode,
    width: tokenizer.largestId < 65536 ? 2 : 4,
  };
}

function skippingFailures(encode: (input: EncoderInput) => Outcome): (input: EncoderInput) => Outcome {
  return (input) => {
    try {
      return encode(input);
    } catch (thrown) {
      if (thrown instanceof CoordError && thrown.code === "TEMPLATE_INVALID") return { problem: thrown.message };
      throw thrown;
    }
  };
}
