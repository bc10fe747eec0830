import { compileChatTemplate, findChatTemplate } from "../../shared/dataset/chatTemplate.ts";
import type { Conversation } from "../../shared/dataset/conversation.ts";
import { type Dropped, type EncodedSample, encodeSample } from "../../shared/dataset/encodeSample.ts";
import { createTokenizer, type TokenizerFiles } from "../../shared/dataset/tokenizer.ts";

/** All that turning rows into tokens depends on; it can be sent to a thread. */
export interface EncoderSetup {
  readonly files: TokenizerFiles;
  readonly chatTemplate: string;
  readonly maxLength: number;
  readonly trainOnInputs: boolean;
}

/** A row that has been read, and "FILE, line N" for messages. */
export interface EncoderInput {
  readonly conversation: Conversation;
  readonly where: string;
}

export type Outcome = EncodedSample | Dropped;

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
    trainOnInputs: setup.trainOnInputs,
  };
  return {
    encode: ({ conversation, where }) => encodeSample(conversation, options, where),
    width: tokenizer.largestId < 65536 ? 2 : 4,
  };
}
